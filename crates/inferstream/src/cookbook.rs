//! Recipes: a complete program for each common task.

#![doc = include_str!("../docs/cookbook.md")]

#[doc = include_str!("../docs/stream_text.md")]
pub mod stream_text {}

#[doc = include_str!("../docs/multi_turn.md")]
pub mod multi_turn {}

#[doc = include_str!("../docs/stop_half_way.md")]
pub mod stop_half_way {}

#[doc = include_str!("../docs/cancel_at_replicate.md")]
pub mod cancel_at_replicate {}

#[doc = include_str!("../docs/retry_by_hand.md")]
pub mod retry_by_hand {}

#[doc = include_str!("../docs/fall_back.md")]
pub mod fall_back {}

#[doc = include_str!("../docs/many_prompts.md")]
pub mod many_prompts {}

#[doc = include_str!("../docs/tools_loop.md")]
pub mod tools_loop {}

#[doc = include_str!("../docs/structured_output.md")]
pub mod structured_output {}

#[doc = include_str!("../docs/images.md")]
pub mod images {}

#[doc = include_str!("../docs/proxy_with_axum.md")]
pub mod proxy_with_axum {}

#[doc = include_str!("../docs/write_a_provider.md")]
pub mod write_a_provider {}

#[doc = include_str!("../docs/write_a_transport.md")]
pub mod write_a_transport {}

#[doc = include_str!("../docs/only_the_decoder.md")]
pub mod only_the_decoder {}

#[doc = include_str!("../docs/test_your_parser.md")]
pub mod test_your_parser {}
