//! `poll_oneoff` over both kinds of descriptors.
//!
//! A file of ours is ready at once, as files are. Everything else goes to wasmtime-wasi with its own numbers, in a memory
//! of ours that holds nothing but the subscriptions and the events. If something of ours is ready, a timer that has run
//! off goes with them, so that the call does not wait.

use wasmtime_wasi::p1::{
    types::{
        Clockid, Errno, Event, EventFdReadwrite, Eventrwflags, Eventtype, Size, Subclockflags,
        Subscription, SubscriptionClock, SubscriptionU,
    },
    wasi_snapshot_preview1::WasiSnapshotPreview1 as _,
};
use wiggle::{GuestMemory, GuestPtr, GuestType};

use super::{Result, ctx::IpfsP1Ctx, table::Slot};
use crate::errno::Refusal;

/// Waits until something is ready, and writes an event for each subscription that is. The arrays have one length.
pub(super) async fn poll(
    ctx: &mut IpfsP1Ctx,
    memory: &mut GuestMemory<'_>,
    subscriptions: GuestPtr<[Subscription]>,
    events: GuestPtr<[Event]>,
) -> Result<Size> {
    let count = subscriptions.len();
    if count == 0 {
        // wasmtime-wasi does not wait for ever either.
        return Err(Refusal::OutOfRange.into());
    }
    // wasmtime-wasi charges about as much. It bounds the copies of them below.
    let each = (Subscription::guest_size() + Event::guest_size()) as usize;
    ctx.consume(each.saturating_mul(count as usize))?;

    let mut ready = Vec::new();
    let mut native = Vec::new();
    for subscription in subscriptions.iter() {
        match seen(ctx, memory.read(subscription?)?)? {
            Seen::Ready(event) => ready.push(event),
            Seen::Native(subscription) => native.push(subscription),
        }
    }
    let waits = ready.is_empty();
    if !native.is_empty() {
        poll_native(ctx, native, waits, &mut ready).await?;
    }
    let given = ready.len() as Size;
    for (event, to) in ready.into_iter().zip(events.iter()) {
        memory.write(to?, event)?;
    }
    Ok(given)
}

/// A subscription, once its number was looked up.
enum Seen {
    /// Of ours, and ready.
    Ready(Event),
    /// For wasmtime-wasi, with its own number.
    Native(Subscription),
}

fn seen(ctx: &mut IpfsP1Ctx, mut subscription: Subscription) -> Result<Seen> {
    let (on, writes) = match &mut subscription.u {
        SubscriptionU::Clock(_) => return Ok(Seen::Native(subscription)),
        SubscriptionU::FdRead(on) => (&mut on.file_descriptor, false),
        SubscriptionU::FdWrite(on) => (&mut on.file_descriptor, true),
    };
    match ctx.table.get(*on)? {
        Slot::Native(native) => {
            *on = native.fd;
            Ok(Seen::Native(subscription))
        }
        // As natively, one such subscription fails the whole call.
        Slot::File(_) if writes => Err(Refusal::ReadOnly.into()),
        Slot::Dir(_) => Err(Refusal::NotFile.into()),
        Slot::File(file) => Ok(Seen::Ready(Event {
            userdata: subscription.userdata,
            error: Errno::Success,
            type_: Eventtype::FdRead,
            fd_readwrite: EventFdReadwrite {
                flags: match file.is_at_end() {
                    true => Eventrwflags::FD_READWRITE_HANGUP,
                    false => Eventrwflags::empty(),
                },
                // As natively: it only says that there is something.
                nbytes: 1,
            },
        })),
    }
}

/// Asks wasmtime-wasi, and adds its events to `ready`. `waits` says whether it may wait.
async fn poll_native(
    ctx: &mut IpfsP1Ctx,
    mut native: Vec<Subscription>,
    waits: bool,
    ready: &mut Vec<Event>,
) -> Result<()> {
    // The guest's own data say nothing here, and the index tells the timer from the guest's subscriptions.
    let asked: Vec<_> = native
        .iter()
        .map(|subscription| subscription.userdata)
        .collect();
    if !waits {
        native.push(Subscription {
            userdata: 0,
            u: SubscriptionU::Clock(SubscriptionClock {
                id: Clockid::Monotonic,
                timeout: 0,
                precision: 0,
                flags: Subclockflags::empty(),
            }),
        });
    } else if let [Subscription { u, .. }] = &native[..]
        && let SubscriptionU::Clock(alone) = u
    {
        // For a timer alone, wasmtime-wasi may block the thread, and nothing could end the sleep. A later one beside it
        // changes no answer.
        let later = SubscriptionClock {
            id: alone.id,
            timeout: alone.timeout.saturating_add(1_000_000_000),
            precision: alone.precision,
            flags: alone.flags,
        };
        native.push(Subscription {
            userdata: 0,
            u: SubscriptionU::Clock(later),
        });
    }
    let count = native.len() as Size;
    let (each, answer) = (Subscription::guest_size(), Event::guest_size());
    let bytes = count.checked_mul(each + answer);
    let mut bytes = vec![0; bytes.ok_or(Refusal::TooMuchCopied)? as usize];
    let mut own = GuestMemory::Unshared(&mut bytes);
    for (index, mut subscription) in (0_u32..).zip(native) {
        subscription.userdata = index.into();
        own.write(GuestPtr::new(index * each), subscription)?;
    }
    let events = GuestPtr::<Event>::new(count * each);
    // The guest was charged already.
    ctx.wasi.set_hostcall_fuel(usize::MAX);
    let given = ctx
        .wasi
        .poll_oneoff(&mut own, GuestPtr::new(0), events, count)
        .await?;
    for event in events.as_array(given).iter() {
        let mut event = own.read(event?)?;
        if let Some(userdata) = asked.get(event.userdata as usize) {
            event.userdata = *userdata;
            ready.push(event);
        }
    }
    Ok(())
}
