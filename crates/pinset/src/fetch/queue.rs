//! Who may fetch now: the memory for blocks under way and the backend's attention, divided among sessions and pinsets.
//!
//! One queue stands in front of each backend, and all pinsets over that backend share it. Waiting costs nothing; a fetch
//! costs what is known of its block's size. A demand read goes before read-ahead, which only takes what is free; but the
//! demand of a session that has its share already does not keep others from reading ahead. Waiting demand is served in
//! bytes, round robin among the sessions of a pinset and among the pinsets (start-time fair queuing: P. Goyal, H. Vin,
//! H. Cheng, 1996).
//!
//! Whoever holds something may hold at most as much as it leaves free (dynamic thresholds: A. Choudhury, E. Hahne, 1998).
//! So one session may have half of everything, the next one half of the rest, and so on: there is something left for a
//! newcomer, whatever the others hold and however long.
//!
//! [`Room`] is handed only to driven work (I11). A waiter holds a place in the queue at most, which delays no other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, Weak},
};

use pinner_api::{MAX_BLOCK, Pinner};
use tokio::sync::oneshot;

use crate::{
    flight::Driven,
    sync::{AtomicUsize, Mutex, Ordering, lock},
};

#[cfg(all(test, not(shuttle)))]
mod tests;

/// The least that a fetch counts for, in bytes: a call to the backend costs memory too.
const LEAST_BYTES: u64 = 16 << 10;

/// A holder may have this part of what it leaves free.
type Part = (u64, u64);
const DEMAND: Part = (1, 1);

/// Read-ahead stops earlier, so that a session's own demand does not wait for it.
const AHEAD: Part = (1, 2);

/// The queue in front of one backend.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The most fetches at once.
    most: u64,
    state: Mutex<State>,
}

/// Who fetches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) pinset: u64,
    /// The most bytes of the pinset's blocks under way.
    pub(crate) pinset_bytes: u64,
    pub(crate) session: u64,
    /// The most fetches of the session at once.
    pub(crate) session_fetches: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Fetches under way.
    held: u64,
    /// The start of the latest fetch in virtual time: the bytes that a pinset was served when it began.
    clock: u64,
    pinsets: HashMap<u64, Pinset>,
    /// The pinsets with waiting fetches, the one that was served least first.
    waiting: BTreeSet<(u64, u64)>,
    next_place: u64,
}

#[derive(Debug)]
struct Pinset {
    most_bytes: u64,
    held: u64,
    held_bytes: u64,
    served: u64,
    clock: u64,
    sessions: HashMap<u64, Session>,
    /// The sessions with waiting fetches, the one that was served least first.
    waiting: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Session {
    most: u64,
    held: u64,
    held_bytes: u64,
    served: u64,
    /// The waiting fetches by place, the oldest first.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: u64,
    slot: Arc<Slot>,
}

/// Where the room of one fetch arrives. Several waiters may queue for the same fetch; the first that has its turn brings
/// the room.
#[derive(Debug)]
pub(crate) struct Slot {
    arrives: Mutex<Option<oneshot::Sender<Room>>>,
    /// The number of places in the queue that are held for it.
    places: AtomicUsize,
}

/// The driven end of a [`Slot`].
#[derive(Debug)]
pub(crate) struct Arrival {
    room: oneshot::Receiver<Room>,
    slot: Arc<Slot>,
}

/// Room for one block under way, until it is dropped. Only driven work has it.
#[derive(Debug)]
pub(crate) struct Room {
    queue: Arc<Queue>,
    party: Party,
    bytes: u64,
    given_back: bool,
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    slot: Arc<Slot>,
    pinset: u64,
    session: u64,
    number: u64,
}

/// The queues of the process by their backends' addresses. A queue's users keep its backend alive, so the address of a
/// queue that lives is the backend's own.
static QUEUES: std::sync::Mutex<BTreeMap<usize, Weak<Queue>>> =
    std::sync::Mutex::new(BTreeMap::new());

impl Queue {
    /// Returns the queue in front of `backend`, which all pinsets over that backend share. The caller keeps the backend
    /// for as long as the queue.
    pub(crate) fn of(backend: &Arc<dyn Pinner>) -> Arc<Self> {
        let address = Arc::as_ptr(backend).cast::<()>() as usize;
        let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&address).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Self::new(backend.concurrency());
        queues.insert(address, Arc::downgrade(&queue));
        queue
    }

    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: (most as u64).max(1),
            state: Mutex::default(),
        })
    }

    /// Takes room for read-ahead, if it is free and no demand waits that goes before it.
    pub(crate) fn try_take(
        self: &Arc<Self>,
        _inside: &Driven,
        party: Party,
        bytes: u64,
    ) -> Option<Room> {
        let mut state = lock(&self.state);
        let bytes = cost(bytes);
        if state.gives_way(&party) || !state.fits_ahead(self.most, &party, bytes) {
            return None;
        }
        state.take(&party, bytes);
        Some(self.room(party, bytes))
    }

    /// Queues a fetch of `bytes` for a waiter of the flight with this slot.
    /// Returns `None` if the fetch has its room already.
    pub(crate) fn enter(
        self: &Arc<Self>,
        party: Party,
        bytes: u64,
        slot: &Arc<Slot>,
    ) -> Option<Place> {
        if lock(&slot.arrives).is_none() {
            return None;
        }
        let mut state = lock(&self.state);
        let number = state.next_place;
        state.next_place += 1;
        slot.places.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting {
            bytes: cost(bytes),
            slot: slot.clone(),
        };
        state.enter(&party, number, waiting);
        drop(state);
        self.serve();
        Some(Place {
            queue: self.clone(),
            slot: slot.clone(),
            pinset: party.pinset,
            session: party.session,
            number,
        })
    }

    /// Hands room to waiting fetches, as long as there is some.
    fn serve(self: &Arc<Self>) {
        loop {
            let mut state = lock(&self.state);
            let Some((party, waiting)) = state.next(self.most) else {
                return;
            };
            state.take(&party, waiting.bytes);
            drop(state);
            let room = self.room(party, waiting.bytes);
            let arrives = lock(&waiting.slot.arrives).take();
            let sent = match arrives {
                Some(arrives) => arrives.send(room),
                None => Err(room),
            };
            if let Err(unwanted) = sent {
                // Another place has brought the room already, or the fetch has ended.
                unwanted.give_back();
            }
        }
    }

    /// Ends all waits of a pinset.
    pub(crate) fn close(&self, pinset: u64) {
        let mut slots = Vec::new();
        let mut state = lock(&self.state);
        if let Some(closed) = state.pinsets.get_mut(&pinset) {
            for session in closed.sessions.values_mut() {
                let waiting = std::mem::take(&mut session.waiting);
                slots.extend(waiting.into_values().map(|waiting| waiting.slot));
            }
            closed.waiting.clear();
            let served = closed.served;
            state.waiting.remove(&(served, pinset));
        }
        drop(state);
        for slot in slots {
            drop(lock(&slot.arrives).take());
        }
    }

    /// Returns how many bytes of the pinset's blocks are under way.
    pub(crate) fn held_bytes(&self, pinset: u64) -> u64 {
        let state = lock(&self.state);
        state.pinsets.get(&pinset).map_or(0, |it| it.held_bytes)
    }

    /// Returns whether nothing is under way and nobody waits.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.held == 0 && state.pinsets.is_empty() && state.waiting.is_empty()
    }

    fn room(self: &Arc<Self>, party: Party, bytes: u64) -> Room {
        Room {
            queue: self.clone(),
            party,
            bytes,
            given_back: false,
        }
    }
}

/// The size for which a fetch of a block of about `bytes` counts.
fn cost(bytes: u64) -> u64 {
    bytes.clamp(LEAST_BYTES, MAX_BLOCK as u64)
}

/// Returns whether somebody who holds `held` may take `more` of what is `free`.
fn fits(held: u64, more: u64, free: u64, part: Part) -> bool {
    let (of, parts) = part;
    more <= free && (held == 0 || (held + more) * parts <= (free - more) * of)
}

impl State {
    /// Returns whether a demand waits that goes before read-ahead of this party: one of its own, or of somebody who holds
    /// no more than it. Whoever holds more waits for what it holds itself.
    fn gives_way(&self, party: &Party) -> bool {
        let own = self.pinsets.get(&party.pinset);
        let pinset_held = own.map_or(0, |own| own.held);
        let session = own.and_then(|own| own.sessions.get(&party.session));
        let held = session.map_or(0, |session| session.held);
        self.waiting.iter().any(|&(_, number)| {
            let Some(pinset) = self.pinsets.get(&number) else {
                return false;
            };
            if number != party.pinset {
                return pinset.held <= pinset_held;
            }
            pinset.waiting.iter().any(|(_, number)| {
                let waits = pinset.sessions.get(number);
                *number == party.session || waits.is_some_and(|session| session.held <= held)
            })
        })
    }

    /// Returns whether a fetch of this party fits now that is not on demand.
    fn fits_ahead(&self, most: u64, party: &Party, bytes: u64) -> bool {
        let free = most.saturating_sub(self.held);
        let Some(pinset) = self.pinsets.get(&party.pinset) else {
            return free > 0;
        };
        let idle = Session::new(party, 0);
        let session = pinset.sessions.get(&party.session).unwrap_or(&idle);
        let most_of_session = (session.most - session.most / 4).max(1);
        session.held < most_of_session
            && pinset.fits(self, free, AHEAD)
            && pinset.fits_session(session, free, bytes, AHEAD)
    }

    fn pinset(&mut self, party: &Party) -> &mut Pinset {
        let clock = self.clock;
        let pinset = self.pinsets.entry(party.pinset).or_insert_with(|| Pinset {
            most_bytes: party.pinset_bytes.max(MAX_BLOCK as u64),
            held: 0,
            held_bytes: 0,
            served: clock,
            clock: 0,
            sessions: HashMap::new(),
            waiting: BTreeSet::new(),
        });
        let clock = pinset.clock;
        let new = || Session::new(party, clock);
        pinset.sessions.entry(party.session).or_insert_with(new);
        pinset
    }

    fn enter(&mut self, party: &Party, number: u64, waiting: Waiting) {
        let pinset = self.pinset(party);
        let first = pinset.waiting.is_empty();
        if let Some(session) = pinset.sessions.get_mut(&party.session) {
            if session.waiting.is_empty() {
                pinset.waiting.insert((session.served, party.session));
            }
            session.waiting.insert(number, waiting);
        }
        let served = pinset.served;
        if first {
            self.waiting.insert((served, party.pinset));
        }
    }

    /// Takes the next waiting fetch that fits out of the queue.
    fn next(&mut self, most: u64) -> Option<(Party, Waiting)> {
        let free = most.saturating_sub(self.held);
        if free == 0 {
            return None;
        }
        let mut found = None;
        'search: for &(_, of) in &self.waiting {
            let fitting = |it: &&Pinset| it.fits(self, free, DEMAND);
            let Some(pinset) = self.pinsets.get(&of).filter(fitting) else {
                continue;
            };
            for &(_, session) in &pinset.waiting {
                if let Some(it) = pinset.sessions.get(&session)
                    && let Some((&number, first)) = it.waiting.first_key_value()
                    && pinset.fits_session(it, free, first.bytes, DEMAND)
                {
                    found = Some((of, session, number));
                    break 'search;
                }
            }
        }
        let (of, session, number) = found?;
        let waiting = self.leave(of, session, number)?;
        let pinset = self.pinsets.get(&of)?;
        let party = Party {
            pinset: of,
            pinset_bytes: pinset.most_bytes,
            session,
            session_fetches: pinset.sessions.get(&session)?.most,
        };
        Some((party, waiting))
    }

    /// Takes a waiting fetch out of the queue.
    fn leave(&mut self, of: u64, session: u64, number: u64) -> Option<Waiting> {
        let pinset = self.pinsets.get_mut(&of)?;
        let it = pinset.sessions.get_mut(&session)?;
        let waiting = it.waiting.remove(&number)?;
        if it.waiting.is_empty() {
            pinset.waiting.remove(&(it.served, session));
            if pinset.waiting.is_empty() {
                self.waiting.remove(&(pinset.served, of));
            }
        }
        Some(waiting)
    }

    fn take(&mut self, party: &Party, bytes: u64) {
        self.held += 1;
        let pinset = self.pinset(party);
        let begins = pinset.served;
        pinset.held += 1;
        pinset.held_bytes += bytes;
        if let Some(session) = pinset.sessions.get_mut(&party.session) {
            pinset.clock = pinset.clock.max(session.served);
            session.held += 1;
            session.held_bytes += bytes;
        }
        self.clock = self.clock.max(begins);
        self.count_served(party, bytes);
    }

    /// Counts bytes that a session is served.
    fn count_served(&mut self, party: &Party, bytes: u64) {
        let Some(pinset) = self.pinsets.get_mut(&party.pinset) else {
            return;
        };
        if let Some(session) = pinset.sessions.get_mut(&party.session) {
            let before = (session.served, party.session);
            session.served += bytes;
            if pinset.waiting.remove(&before) {
                pinset.waiting.insert((session.served, party.session));
            }
        }
        let before = (pinset.served, party.pinset);
        pinset.served += bytes;
        if self.waiting.remove(&before) {
            self.waiting.insert((pinset.served, party.pinset));
        }
    }

    /// Changes what a fetch that is under way counts for. Bytes beyond those that were known are served as well, so an
    /// author who claims that blocks are short gains no turns.
    fn resize(&mut self, party: &Party, from: u64, to: u64) {
        if let Some(pinset) = self.pinsets.get_mut(&party.pinset) {
            pinset.held_bytes = pinset.held_bytes - from + to;
            if let Some(session) = pinset.sessions.get_mut(&party.session) {
                session.held_bytes = session.held_bytes - from + to;
            }
        }
        self.count_served(party, to.saturating_sub(from));
    }

    fn give_back(&mut self, party: &Party, bytes: u64) {
        self.held -= 1;
        if let Some(pinset) = self.pinsets.get_mut(&party.pinset) {
            pinset.held -= 1;
            pinset.held_bytes -= bytes;
            if let Some(session) = pinset.sessions.get_mut(&party.session) {
                session.held -= 1;
                session.held_bytes -= bytes;
            }
        }
        self.forget_if_idle(party.pinset, party.session);
    }

    /// Forgets a session and a pinset that neither hold nor want anything, so that the queue is no longer than what
    /// goes on.
    fn forget_if_idle(&mut self, of: u64, session: u64) {
        let Some(pinset) = self.pinsets.get_mut(&of) else {
            return;
        };
        let idle = |it: &Session| it.held == 0 && it.waiting.is_empty();
        if pinset.sessions.get(&session).is_some_and(idle) {
            pinset.sessions.remove(&session);
        }
        if pinset.sessions.is_empty() {
            self.pinsets.remove(&of);
        }
    }
}

impl Pinset {
    /// Returns whether one more fetch of this pinset fits beside those of others.
    fn fits(&self, all: &State, free: u64, part: Part) -> bool {
        // Alone, its sessions divide everything.
        let alone = all.pinsets.len() == 1;
        free > 0 && (alone || fits(self.held, 1, free, part))
    }

    /// Returns whether one more fetch of this session fits beside those of others.
    fn fits_session(&self, session: &Session, free: u64, bytes: u64, part: Part) -> bool {
        let free_bytes = self.most_bytes.saturating_sub(self.held_bytes);
        session.held < session.most
            && fits(session.held, 1, free, part)
            && fits(session.held_bytes, bytes, free_bytes, part)
    }
}

impl Session {
    fn new(party: &Party, served: u64) -> Self {
        Self {
            most: party.session_fetches.max(1),
            held: 0,
            held_bytes: 0,
            served,
            waiting: BTreeMap::new(),
        }
    }
}

impl Slot {
    /// Returns a slot, and the end at which driven work waits for the room.
    pub(crate) fn new(_inside: &Driven) -> (Arc<Self>, Arrival) {
        let (arrives, room) = oneshot::channel();
        let slot = Arc::new(Self {
            arrives: Mutex::new(Some(arrives)),
            places: AtomicUsize::new(0),
        });
        let arrival = Arrival {
            room,
            slot: slot.clone(),
        };
        (slot, arrival)
    }
}

impl Arrival {
    /// Returns whether a waiter has a place in the queue for this fetch.
    pub(crate) fn is_wanted(&self) -> bool {
        self.slot.places.load(Ordering::SeqCst) > 0
    }

    /// Takes note that the fetch has its room from elsewhere. Nobody queues for it any more.
    pub(crate) fn end(self) {
        drop(lock(&self.slot.arrives).take());
    }

    /// Waits for the room. Returns `None` if the pinset was closed.
    pub(crate) async fn room(&mut self) -> Option<Room> {
        (&mut self.room).await.ok()
    }
}

impl Room {
    /// Corrects what the fetch counts for, once the block's length is known. A block that is longer than was known
    /// counts for more from now on, and delays the next ones.
    pub(crate) fn resize(&mut self, bytes: u64) {
        let bytes = cost(bytes);
        let mut state = lock(&self.queue.state);
        state.resize(&self.party, self.bytes, bytes);
        drop(state);
        let less = bytes < self.bytes;
        self.bytes = bytes;
        if less {
            self.queue.serve();
        }
    }
}

impl Room {
    /// Returns the room, and leaves it to the caller to serve others.
    fn give_back(mut self) {
        self.given_back = true;
        lock(&self.queue.state).give_back(&self.party, self.bytes);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.given_back {
            lock(&self.queue.state).give_back(&self.party, self.bytes);
            self.queue.serve();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slot.places.fetch_sub(1, Ordering::SeqCst);
        let mut state = lock(&self.queue.state);
        drop(state.leave(self.pinset, self.session, self.number));
        state.forget_if_idle(self.pinset, self.session);
    }
}
