//! How many requests may be in flight, and when the next one may begin. Time is an argument.

use std::time::Duration;

/// The number of requests in flight at the beginning.
const FIRST: usize = 8;

/// The wait after a refusal for which the service named no time, and the longest such wait.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Additive increase, multiplicative decrease.
///
/// After a round of responses without a refusal, one more request may be in flight. A refusal halves
/// the number, at most once per round: refusals of requests that began before it do not count.
#[derive(Debug)]
pub(crate) struct Pace {
    max: usize,
    limit: usize,
    /// The number of decreases so far.
    round: Round,
    /// The responses since the limit has changed.
    responses: usize,
    hold: Duration,
    backoff: Duration,
}

/// The round in which a request began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Round(u64);

impl Pace {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self {
            max,
            limit: FIRST.min(max),
            round: Round(0),
            responses: 0,
            hold: Duration::ZERO,
            backoff: BACKOFF.0,
        }
    }

    /// Returns how many requests may be in flight.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the round of a request that begins now.
    pub(crate) fn round(&self) -> Round {
        self.round
    }

    /// Returns how long to wait until the next request may begin.
    pub(crate) fn wait(&self, now: Duration) -> Duration {
        self.hold.saturating_sub(now)
    }

    /// Notes a response of the service that is not a refusal.
    pub(crate) fn accepted(&mut self) {
        self.backoff = BACKOFF.0;
        self.responses += 1;
        if self.limit <= self.responses {
            self.responses = 0;
            self.limit = (self.limit + 1).min(self.max);
        }
    }

    /// Notes a refusal: the service is limited or overloaded, or cannot be reached. The next request
    /// begins after the wait that the service asked for, if it asked for one.
    pub(crate) fn refused(&mut self, now: Duration, began: Round, asked: Option<Duration>) {
        let is_first = began == self.round;
        if is_first {
            self.round = Round(self.round.0 + 1);
            self.limit = (self.limit / 2).max(1);
            self.responses = 0;
        }
        match asked {
            Some(wait) => self.hold_for(now, wait),
            None if is_first => {
                self.hold_for(now, self.backoff);
                self.backoff = self.backoff.saturating_mul(2).min(BACKOFF.1);
            }
            None => {}
        }
    }

    /// Begins no request before this time has passed.
    pub(crate) fn hold_for(&mut self, now: Duration, wait: Duration) {
        self.hold = self.hold.max(now.saturating_add(wait));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::Pace;

    const NOW: Duration = Duration::from_secs(100);

    fn round(pace: &mut Pace) {
        for _ in 0..pace.limit() {
            pace.accepted();
        }
    }

    #[test]
    fn it_begins_at_8_and_adds_one_per_round() {
        let mut pace = Pace::new(10);
        assert_eq!(pace.limit(), 8);
        for expected in [9, 10, 10] {
            round(&mut pace);
            assert_eq!(pace.limit(), expected);
        }
        assert_eq!(Pace::new(3).limit(), 3);
        assert_eq!(Pace::new(0).limit(), 1);
    }

    #[test]
    fn a_round_is_halved_once() {
        let mut pace = Pace::new(64);
        let began = pace.round();
        for _ in 0..8 {
            pace.refused(NOW, began, None);
        }
        assert_eq!(pace.limit(), 4);
        pace.refused(NOW, pace.round(), None);
        assert_eq!(pace.limit(), 2);
    }

    #[test]
    fn nothing_begins_before_the_time_that_the_service_asked_for() {
        let mut pace = Pace::new(64);
        let began = pace.round();
        pace.refused(NOW, began, Some(Duration::from_secs(7)));
        pace.refused(NOW, began, Some(Duration::from_secs(3)));
        assert_eq!(pace.wait(NOW), Duration::from_secs(7));
        assert_eq!(pace.wait(NOW + Duration::from_secs(7)), Duration::ZERO);
        // A refusal of an earlier round may still ask for a longer wait.
        pace.refused(NOW, began, Some(Duration::from_secs(9)));
        assert_eq!(pace.wait(NOW), Duration::from_secs(9));
    }

    #[test]
    fn waits_of_its_own_double_until_a_response() {
        let mut pace = Pace::new(64);
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..9 {
            pace.refused(now, pace.round(), None);
            waits.push(pace.wait(now).as_millis());
            now += pace.wait(now);
        }
        let expected = [
            500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
        ];
        assert_eq!(waits, expected);
        pace.accepted();
        pace.refused(now, pace.round(), None);
        assert_eq!(pace.wait(now), Duration::from_millis(500));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Accepted,
        Refused(Option<u8>),
    }

    proptest! {
        #[test]
        fn the_limit_stays_between_1_and_its_maximum(
            max in 0_usize..100,
            steps in proptest::collection::vec(
                prop_oneof![
                    4 => Just(Step::Accepted),
                    1 => any::<Option<u8>>().prop_map(Step::Refused),
                ],
                0..300,
            ),
        ) {
            let mut pace = Pace::new(max);
            let mut now = NOW;
            for step in steps {
                let (before, held) = (pace.limit(), pace.wait(now));
                match step {
                    Step::Accepted => {
                        pace.accepted();
                        assert!(pace.limit() <= before + 1 && before <= pace.limit());
                    }
                    Step::Refused(asked) => {
                        let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
                        pace.refused(now, pace.round(), asked);
                        assert_eq!(pace.limit(), (before / 2).max(1));
                        assert!(asked.unwrap_or_default() <= pace.wait(now));
                    }
                }
                assert!(held <= pace.wait(now));
                assert!((1..=max.max(1)).contains(&pace.limit()));
                now += Duration::from_millis(100);
            }
        }
    }
}
