#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod run;

mod input;
mod row;

mod journal;
mod lines;
mod recover;
mod sink;
mod sync;
mod under_way;

mod limits;
mod pace;

mod failure;
mod hash;
mod ids;
mod stop;
mod summary;

pub use crate::{
    batch::Batch,
    failure::Failure,
    input::{Checked, Input, Rows},
    journal::Journal,
    lines::Lines,
    row::{Earlier, Format, Part, Reader, Row},
    sink::Sink,
    stop::Stop,
    summary::{Progress, Stopped, Summary, Tokens},
};
