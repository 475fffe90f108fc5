//! The limit of retries for any sequence of outcomes.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use futures_util::future::join_all;
use inferstream_core::{Error, ErrorKind, RetryPolicy, Timer as _, protocol::RetryBudget};
use proptest::prelude::*;

use crate::{
    retry::millis,
    support::{Script, block_on},
};

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attempt {
    Success,
    Failure,
    /// A failure after which the service asks for a time.
    Asked,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![
        2 => Just(Attempt::Success),
        5 => Just(Attempt::Failure),
        3 => Just(Attempt::Asked),
    ]
}

proptest! {
    #[test]
    fn retries_cost_no_more_than_there_are_tokens(
        size in 0_u32..60,
        base in 0_u64..500,
        calls in prop::collection::vec((0_u64..5000, prop::collection::vec(attempt(), 6)), 1..60),
    ) {
        let script = Script::new([]);
        let budget = RetryBudget::default();
        let policy = RetryPolicy::default()
            .max_attempts(6)
            .base_delay(millis(base))
            .budget(Some(size));
        let (sent, cost, successes) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let run = |(start, attempts): &(u64, Vec<Attempt>)| {
            let (start, attempts) = (millis(*start), attempts.clone());
            let (script, policy, budget) = (&script, &policy, &budget);
            let (sent, cost, successes) = (&sent, &cost, &successes);
            async move {
                script.clock.sleep(start).await;
                let attempt = |number: u32| {
                    sent.fetch_add(1, SeqCst);
                    let index = number as usize - 1;
                    cost.fetch_add(match index.checked_sub(1).map(|before| attempts[before]) {
                        None => 0,
                        Some(Attempt::Asked) => 1,
                        Some(_) => 5,
                    }, SeqCst);
                    let busy = Error::new(ErrorKind::Overloaded, "busy");
                    std::future::ready(match attempts[index] {
                        Attempt::Success => {
                            successes.fetch_add(1, SeqCst);
                            Ok(())
                        }
                        Attempt::Failure => Err(busy),
                        Attempt::Asked => Err(busy.with_retry_after(Some(Duration::ZERO))),
                    })
                };
                policy.run(&**script, None, budget, attempt).await
            }
        };
        let outcomes = block_on(&script.clock, join_all(calls.iter().map(run)));
        let (sent, cost, successes) = (sent.into_inner(), cost.into_inner(), successes.into_inner());
        let elapsed = script.clock.elapsed().as_secs_f64();
        let tokens = f64::from(size + successes) + elapsed;
        prop_assert!(f64::from(cost) <= tokens + 1e-6, "{cost} of {tokens} tokens");
        prop_assert!(f64::from(sent) <= f64::from(u32::try_from(calls.len()).unwrap()) + tokens + 1e-6);
        for outcome in outcomes {
            // Every call ends by a success, its last attempt or the budget.
            if let Err(error) = outcome {
                prop_assert!(error.is_retry_budget_exhausted() || error.attempts() == 6);
            }
        }
    }
}
