//! How many requests a server is sent at once, learnt from its answers, and how long to wait before asking again.
//!
//! Begins with as many as allowed, since the fastest way to many samples is to ask for all of them. A refusal costs up
//! to half of the window, but never goes below what the server is still working on: that much it does hold. Each answer
//! widens the window: by one before the first refusal, later by one for a whole window of answers.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::sampling::Rng;

/// The window at first.
const START: usize = 64;
/// Longest part of a wait that chance decides.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How many requests may be on their way. Pure.
#[derive(Debug, Clone)]
struct Window {
    limit: f64,
    most: usize,
    in_flight: usize,
    /// Counts the times the window was narrowed: a burst of refusals is one event, and narrows it once.
    epoch: u64,
    /// What this burst may narrow it to.
    floor: f64,
    /// Whether a limit was ever met.
    met: bool,
}

impl Window {
    fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { limit: most.min(START) as f64, most, in_flight: 0, epoch: 0, floor: 1.0, met: false }
    }

    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn sent(&mut self) -> u64 {
        self.in_flight += 1;
        self.epoch
    }

    fn gone(&mut self) {
        self.in_flight -= 1;
    }

    fn kept_up(&mut self) {
        self.in_flight -= 1;
        self.limit += if self.met { 1.0 / self.limit } else { 1.0 };
        self.limit = self.limit.min(self.most as f64);
    }

    /// A request of `epoch` was refused; gives how many others are still being answered.
    fn refused(&mut self, epoch: u64) -> usize {
        self.in_flight -= 1;
        self.narrow(epoch);
        self.limit = self.limit.min(self.floor.max(self.in_flight as f64));
        self.in_flight
    }

    /// A request of `epoch` was not answered in time: the server may hold many, and works on fewer.
    fn stalled(&mut self, epoch: u64) {
        self.in_flight -= 1;
        self.narrow(epoch);
        self.limit = self.limit.min(self.floor);
    }

    fn narrow(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.epoch += 1;
            self.met = true;
            self.floor = (self.limit / 2.0).max(1.0);
        }
    }
}

/// The pace at which one server is asked; shared by all that ask it.
pub struct Pace {
    gate: Semaphore,
    state: Mutex<State>,
}

struct State {
    window: Window,
    /// Permits in circulation, once the debt is paid.
    issued: usize,
    /// Permits to take out of circulation as they come back.
    debt: usize,
    /// Nobody asks before.
    quiet_until: Option<Instant>,
    /// Requests that were answered.
    answered: u64,
    jitter: Rng,
}

impl Pace {
    /// At most `most` requests at once; `jitter` seeds the randomness of waits.
    pub fn new(most: usize, jitter: u64) -> Self {
        let window = Window::new(most);
        let issued = window.limit();
        let state = State { window, issued, debt: 0, quiet_until: None, answered: 0, jitter: Rng::new(jitter, 0) };
        Self { gate: Semaphore::new(issued), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    /// Waits for a turn to ask.
    pub async fn turn(&self) -> Turn<'_> {
        let permit = self.gate.acquire().await.expect("the semaphore is never closed");
        let mut turn = Turn { pace: self, permit: Some(permit), epoch: None };
        loop {
            let until = {
                let mut state = self.state();
                match state.quiet_until.filter(|until| *until > Instant::now()) {
                    Some(until) => until,
                    None => {
                        turn.epoch = Some(state.window.sent());
                        return turn;
                    }
                }
            };
            tokio::time::sleep_until(until).await;
        }
    }

    /// Nobody asks before so long.
    pub fn quiet_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        state.quiet_until = Some(state.quiet_until.map_or(until, |known| known.max(until)));
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> u64 {
        self.state().answered
    }

    /// How many requests may be on their way now.
    pub fn limit(&self) -> usize {
        self.state().window.limit()
    }

    /// How long to wait after the failure number `failures`, from 0: what the server asks for, and on top anything from
    /// nothing to `base` doubled each time. All chance, so that many that were refused together don't come back together.
    pub fn backoff(&self, base: Duration, failures: u32, asked: Option<Duration>) -> Duration {
        let most = base.saturating_mul(1_u32 << failures.min(16)).min(LONGEST_BACKOFF);
        asked.unwrap_or_default() + most.mul_f64(self.state().jitter.fraction())
    }

    /// Brings the permits in line with the window.
    fn settle(&self, state: &mut State) {
        let wanted = state.window.limit();
        if wanted > state.issued {
            let more = wanted - state.issued;
            let paid = more.min(state.debt);
            state.debt -= paid;
            self.gate.add_permits(more - paid);
        } else {
            state.debt += state.issued - wanted;
            while state.debt > 0
                && let Ok(permit) = self.gate.try_acquire()
            {
                permit.forget();
                state.debt -= 1;
            }
        }
        state.issued = wanted;
    }
}

/// Leave to ask once. Dropped without a word, it says nothing about the server.
pub struct Turn<'a> {
    pace: &'a Pace,
    permit: Option<SemaphorePermit<'a>>,
    epoch: Option<u64>,
}

impl Turn<'_> {
    /// The server answered.
    pub fn kept_up(self) {
        self.end(|window, _| window.kept_up(), true);
    }

    /// The server has too much to do; gives how many of our requests it is still working on.
    pub fn refused(self) -> usize {
        self.end(Window::refused, false)
    }

    /// The server did not answer in time.
    pub fn stalled(self) {
        self.end(Window::stalled, false);
    }

    fn end<T>(mut self, tell: impl FnOnce(&mut Window, u64) -> T, answered: bool) -> T {
        let mut state = self.pace.state();
        let epoch = self.epoch.take().expect("a turn ends once");
        state.answered += u64::from(answered);
        let told = tell(&mut state.window, epoch);
        self.pace.settle(&mut state);
        told
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        if self.epoch.is_some() {
            state.window.gone();
        }
        if let Some(permit) = self.permit.take()
            && state.debt > 0
        {
            state.debt -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_refusals_narrows_the_window_to_half_and_not_below_what_the_server_holds() {
        let mut window = Window::new(64);
        let epochs: Vec<u64> = (0..64).map(|_| window.sent()).collect();
        for epoch in &epochs[8..] {
            window.refused(*epoch);
        }
        assert_eq!((window.limit(), window.in_flight), (32, 8));
        for expected in [16, 8, 8] {
            let epoch = window.sent();
            assert_eq!(window.refused(epoch), 8);
            assert_eq!(window.limit(), expected);
        }
    }

    #[test]
    fn refusals_with_nothing_in_hand_halve_down_to_one() {
        let mut window = Window::new(16);
        for expected in [8, 4, 2, 1, 1] {
            let epoch = window.sent();
            assert_eq!((window.refused(epoch), window.limit()), (0, expected));
        }
    }

    #[test]
    fn the_window_grows_with_each_answer_until_a_limit_was_met_and_then_slowly() {
        let mut window = Window::new(1000);
        for _ in 0..10 {
            window.sent();
            window.kept_up();
        }
        assert_eq!(window.limit(), START + 10);
        let epoch = window.sent();
        window.stalled(epoch);
        assert_eq!(window.limit(), 37);
        for _ in 0..38 {
            window.sent();
            window.kept_up();
        }
        assert_eq!(window.limit(), 38);
        let mut window = Window::new(3);
        window.sent();
        window.kept_up();
        assert_eq!(window.limit(), 3);
    }

    #[tokio::test]
    async fn turns_follow_the_window_both_ways() {
        let pace = Pace::new(4, 1);
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(pace.turn().await);
        }
        assert!(pace.gate.try_acquire().is_err());
        // The server holds one of four.
        for held in [3, 2] {
            assert_eq!(turns.pop().unwrap().refused(), held);
        }
        assert_eq!(pace.limit(), 2);
        assert!(pace.gate.try_acquire().is_err());
        turns.pop().unwrap().kept_up();
        assert!(pace.gate.try_acquire().is_ok());
        drop(turns);
        assert_eq!(pace.gate.available_permits(), 2);
        assert_eq!((pace.answered(), pace.state().window.in_flight), (1, 0));
    }

    #[test]
    fn waits_are_within_their_bounds_and_repeat_with_the_seed() {
        let waits = |seed| {
            let pace = Pace::new(1, seed);
            (0..6).map(|failures| pace.backoff(Duration::from_millis(100), failures, None)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        for (failures, wait) in waits(3).into_iter().enumerate() {
            assert!(wait <= Duration::from_millis(100 << failures), "{failures}: {wait:?}");
        }
        let pace = Pace::new(1, 1);
        let asked = Duration::from_secs(7);
        let wait = pace.backoff(Duration::from_millis(100), 0, Some(asked));
        assert!(wait >= asked && wait <= asked + Duration::from_millis(100));
    }
}
