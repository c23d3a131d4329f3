//! The table against a model: random opens, closes, renumberings and polls, with numbers that are not open among them,
//! and calls that are dropped midway.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::poll_fn,
    pin::{Pin, pin},
};

use wasmtime_wasi::p1::{
    types::{
        Clockid, Errno, Event, Rights, Subclockflags, Subscription, SubscriptionClock,
        SubscriptionFdReadwrite, SubscriptionU,
    },
    wasi_snapshot_preview1::WasiSnapshotPreview1 as _,
};
use wiggle::{GuestPtr, GuestType as _};

use super::{super::table::Slot, NATIVE, OURS, Scene, errno, fd};

/// The files of the tree. Each holds its own name.
const FILES: u64 = 6;

/// The length of a name.
const NAME: usize = 2;

/// Native numbers that are looked at for being open.
const NATIVE_NUMBERS: u32 = 64;

/// The thing that should be behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Standard,
    Dir(u32),
    File(u32, u64),
}

fn name(file: u64) -> String {
    format!("f{file}")
}

struct Model {
    scene: Scene,
    open: BTreeMap<u32, What>,
    series: u64,
    most: usize,
}

impl Model {
    async fn new() -> Self {
        let scene = Scene::new(|tree| {
            for file in 0..FILES {
                fs::write(tree.join(name(file)), name(file)).expect("a file");
            }
        });
        let mut open: BTreeMap<_, _> = (0..3).map(|number| (number, What::Standard)).collect();
        open.extend([NATIVE, OURS].map(|base| (base, What::Dir(base))));
        Self {
            scene: scene.await,
            open,
            series: 88_172_645_463_325_252,
            // The mount left a slot free when it took the place of `/ipfs`.
            most: 6,
        }
    }

    /// A random number below `end`.
    fn random(&mut self, end: u64) -> u64 {
        self.series ^= self.series << 13;
        self.series ^= self.series >> 7;
        self.series ^= self.series << 17;
        self.series % end
    }

    /// A number: nearly always one that may be open, else any.
    fn number(&mut self) -> u32 {
        match self.random(16) {
            0 => self.random(1 << 32) as u32,
            _ => self.random(self.open.len() as u64 + 3) as u32,
        }
    }

    /// A number that is not one of the two directories, which are needed for opening.
    fn expendable(&mut self) -> u32 {
        loop {
            let number = self.number();
            if ![NATIVE, OURS].contains(&number) {
                return number;
            }
        }
    }

    /// The number that the next open gets.
    fn lowest(&self) -> u32 {
        let number = (0..).find(|number| !self.open.contains_key(number));
        number.expect("not all are open")
    }

    async fn step(&mut self) {
        match self.random(9) {
            0..3 => self.open().await,
            3..5 => self.close().await,
            5..7 => self.renumber().await,
            7 => self.poll().await,
            _ => self.dropped().await,
        }
    }

    async fn open(&mut self) {
        if self.open.len() > 20 {
            return self.close().await;
        }
        let base = [NATIVE, OURS][self.random(2) as usize];
        let file = self.random(FILES + 1);
        let path = name(file);
        let opened = self.scene.call().open(base, path.as_bytes()).await;
        if file == FILES {
            assert_eq!(opened, Err(Errno::Noent));
            return;
        }
        assert_eq!(opened, Ok(self.lowest()));
        self.open.insert(self.lowest(), What::File(base, file));
    }

    async fn close(&mut self) {
        let number = self.expendable();
        let closed = self.scene.call().close(number).await;
        let wanted = self.open.remove(&number);
        assert_eq!(closed.is_ok(), wanted.is_some(), "{number}: {closed:?}");
    }

    async fn renumber(&mut self) {
        let (from, to) = (self.expendable(), self.expendable());
        let moved = self.scene.call().renumber(from, to).await;
        assert_eq!(moved.is_ok(), self.renumbered(from, to), "{from}, {to}");
    }

    /// Renumbers in the model. Returns whether both are open.
    fn renumbered(&mut self, from: u32, to: u32) -> bool {
        if !self.open.contains_key(&to) || !self.open.contains_key(&from) {
            return false;
        }
        if from != to {
            let moved = self.open.remove(&from).expect("it is open");
            self.open.insert(to, moved);
        }
        true
    }

    /// Polls a few numbers and a timer that has run off: every file is ready, and each answers for itself.
    async fn poll(&mut self) {
        let count = 1 + self.random(5) as u32;
        let numbers: Vec<_> = (0..count).map(|_| self.number()).collect();
        let call = self.scene.call();
        let (ctx, mut memory) = (call.ctx, call.memory);
        let timer = SubscriptionClock {
            id: Clockid::Monotonic,
            timeout: 0,
            precision: 0,
            flags: Subclockflags::empty(),
        };
        let timer = SubscriptionU::Clock(timer);
        let reads = numbers.iter().map(|number| {
            SubscriptionU::FdRead(SubscriptionFdReadwrite {
                file_descriptor: fd(*number),
            })
        });
        for (index, u) in (0..).zip(reads.chain([timer])) {
            let userdata = 7000 + u64::from(index);
            let at = GuestPtr::new(index * Subscription::guest_size());
            memory
                .write(at, Subscription { userdata, u })
                .expect("in bounds");
        }
        let events = GuestPtr::<Event>::new(1 << 15);
        let polled = ctx.poll_oneoff(&mut memory, GuestPtr::new(0), events, count + 1);
        let polled = polled.await.map_err(errno);
        let readable = |number: &u32| matches!(self.open.get(number), Some(What::File(..)));
        let standard_input = |number: &u32| self.open.get(number) == Some(&What::Standard);
        if numbers.iter().any(standard_input) {
            // Whether it is ready, and whether it is the one for input, is the host's matter.
            return;
        }
        if !numbers.iter().all(readable) {
            assert_eq!(polled, Err(Errno::Badf), "{numbers:?}");
            return;
        }
        let mut seen = BTreeSet::new();
        for event in events.as_array(polled.expect("all are files")).iter() {
            let event = memory.read(event.expect("in bounds")).expect("an event");
            assert_eq!(event.error, Errno::Success);
            seen.insert(event.userdata);
        }
        assert!(seen.contains(&(7000 + u64::from(count))) || !seen.is_empty());
        for (index, number) in (0..).zip(&numbers) {
            let ours = matches!(self.open[number], What::File(OURS, _));
            assert!(
                !ours || seen.contains(&(7000 + index)),
                "{numbers:?}: {seen:?}"
            );
        }
    }

    /// Begins a call, and drops it. Afterwards it is either done or was never made.
    async fn dropped(&mut self) {
        let (from, to) = (self.expendable(), self.expendable());
        let (base, file) = ([NATIVE, OURS][self.random(2) as usize], self.random(FILES));
        let what = self.random(3);
        let call = self.scene.call();
        match what {
            0 => {
                let opened = once(pin!(call.open(base, name(file).as_bytes()))).await;
                if let Some(opened) = opened {
                    assert_eq!(opened, Ok(self.lowest()));
                    self.open.insert(self.lowest(), What::File(base, file));
                }
            }
            1 => {
                _ = once(pin!(call.close(from))).await;
                self.open.remove(&from);
            }
            _ => {
                _ = once(pin!(call.renumber(from, to))).await;
                self.renumbered(from, to);
            }
        }
    }

    async fn check(&mut self) {
        self.most = self.most.max(self.open.len());
        let table = &self.scene.ctx.table;
        assert!(table.is_sound());
        assert!(table.len() <= self.most, "it grew without need");
        let numbers: Vec<_> = table.open().map(|(number, _)| number).collect();
        assert!(
            numbers.iter().eq(self.open.keys()),
            "{numbers:?} {:?}",
            self.open
        );
        let natives: Vec<u32> = table
            .open()
            .filter_map(|(_, slot)| match slot {
                Slot::Native(native) => Some(native.fd.into()),
                Slot::File(_) | Slot::Dir(_) => None,
            })
            .collect();
        let distinct: BTreeSet<_> = natives
            .iter()
            .copied()
            .filter(|native| *native > 2)
            .collect();
        assert_eq!(
            distinct.len(),
            natives.iter().filter(|native| **native > 2).count()
        );
        // Exactly those are open in wasmtime-wasi: it has this call for none, and says so only of open ones.
        let mut call = self.scene.call();
        let (ctx, memory) = (&mut *call.ctx, &mut call.memory);
        let open: BTreeSet<_> = (3..NATIVE_NUMBERS)
            .filter(|native| {
                let none = Rights::empty();
                let denied = ctx
                    .wasi
                    .fd_fdstat_set_rights(memory, fd(*native), none, none);
                denied.map_err(errno) == Err(Errno::Notsup)
            })
            .collect();
        assert_eq!(open, distinct);
        let files: Vec<_> = self
            .open
            .iter()
            .map(|(number, what)| (*number, *what))
            .collect();
        let one = self.random(files.len() as u64) as usize;
        if let (number, What::File(_, file)) = files[one] {
            let read = self.scene.call().pread(number, 9, 0).await;
            assert_eq!(read.as_deref(), Ok(name(file).as_bytes()), "{number}");
            assert_eq!(name(file).len(), NAME);
        }
    }
}

/// Polls a call once. Returns its result if it is over.
async fn once<C: Future>(mut call: Pin<&mut C>) -> Option<C::Output> {
    poll_fn(|context| {
        std::task::Poll::Ready(match call.as_mut().poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn each_native_number_is_behind_one_slot() {
    let mut model = Model::new().await;
    for _ in 0..4000 {
        model.step().await;
        model.check().await;
    }
}
