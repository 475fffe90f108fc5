//! The `batch` command: sends many prompts, and writes their responses.

mod progress;
mod stdin;
mod summary;

use std::{io, process, sync::Arc};

use inferstream::{Error, Provider, Result};
use inferstream_batch::{
    Batch as Running, Format, Input, Journal, Lines, Reader, Stop, Stopped, Summary,
};

use self::{progress::Meter, stdin::Rows, summary::Counts};
use crate::{
    args::Batch,
    check,
    config::{Config, Route},
    exit::Failure,
    files::Files,
    kind::Kind,
    output::say,
    runtime::{self, Interrupt, Signal},
    service::{Service, route},
};

/// Runs the `batch` command.
pub(crate) fn run(args: &Batch) -> Result<(), Failure> {
    let config = Config::load(args.service.config.as_deref())?;
    let route = route(&config, &args.service, args.model.as_deref())?;
    check::flags(&route, &args.service)?;
    let files = Files::read(&args.service)?;
    let work = async |interrupt: &Interrupt| {
        let service = interrupt.or(Service::new(&route, &config, &args.service, files));
        let service = service.await??;
        let job = Job {
            args,
            route: &route,
            interrupt,
        };
        let outcome = match (&args.input, &args.output) {
            (Some(input), Some(output)) => job.files(&service, input, output).await,
            _ => job.worker(&service).await,
        };
        service.settle().await;
        outcome
    };
    if args.output.is_some() {
        runtime::run_on_one_thread(work)
    } else {
        runtime::run(work)
    }
}

/// A run of the command.
struct Job<'a> {
    args: &'a Batch,
    route: &'a Route,
    interrupt: &'a Interrupt,
}

impl Job<'_> {
    /// Reads a file and writes another.
    async fn files(
        &self,
        service: &Service,
        input: &std::path::Path,
        output: &std::path::Path,
    ) -> Result<(), Failure> {
        let provider: &dyn Provider = &service.provider;
        let mut journal = Journal::open(output, &provider.info().id)?;
        // The file of failed rows as an input is a request to ask them again.
        let is_failed_file = input == journal.failed_path();
        journal.retry_failed(self.args.retry_failed || is_failed_file);
        let input = Input::open(input, self.reader())?.part(self.args.part);
        let checked = input.check(provider, &mut journal)?;
        let failed_path = journal.failed_path().to_owned();
        let mut counts = Counts {
            total: Some(checked.total),
            complete_before: checked.complete,
            failed_before: checked.failed,
            ..Counts::default()
        };
        if 0 < checked.complete {
            say(&format!(
                "{} of {} rows are complete from earlier runs",
                checked.complete, checked.total
            ));
        }
        let rows = checked.rows(provider, &journal)?;
        let (batch, stop, meter) = self.batch(service, counts.remaining());
        let running = batch.run_file(rows, &mut journal);
        let (summary, signal) = self.until_signal(running, &stop, &meter).await;
        counts.summary = summary;
        let finished = journal.finish();
        counts.report(self.args.json, true)?;
        if 0 < counts.failed() {
            say(&format!("rows that failed: {}", failed_path.display()));
        }
        let ended = self.ended(counts, signal);
        // A failure to write is more important than rows that failed.
        match finished {
            Err(error) if !matches!(ended, Err(Failure::Io(..))) => {
                Err(Failure::Io(format!("writing {}", output.display()), error))
            }
            _ => ended,
        }
    }

    /// Reads standard input, or a file, and writes standard output.
    async fn worker(&self, service: &Service) -> Result<(), Failure> {
        let rows = Rows::open(self.args.input.as_deref(), self.reader(), self.args.part)?;
        let (batch, stop, meter) = self.batch(service, None);
        let mut lines = Lines::new(io::stdout().lock());
        let running = batch.run_stream(rows, &mut lines);
        let (summary, signal) = self.until_signal(running, &stop, &meter).await;
        let counts = Counts {
            summary,
            ..Counts::default()
        };
        counts.report(self.args.json, false)?;
        self.ended(counts, signal)
    }

    fn reader(&self) -> Reader {
        let mut reader = Reader::new(if self.args.text {
            Format::Text
        } else {
            Format::Json
        });
        let model = self.route.first().model.clone();
        if self.args.model.is_some() {
            reader.model = model;
        } else {
            reader.default_model = model;
        }
        reader.on_unsupported = self.args.on_unsupported.map(Into::into);
        reader
    }

    fn batch(&self, service: &Service, remaining: Option<u64>) -> (Running, Stop, Meter) {
        let args = self.args;
        let stop = Stop::default();
        let meter = Meter::new(remaining);
        let is_compatible = self.route.first().kind == Kind::OpenaiCompat;
        let mut batch = Running::new(Arc::clone(&service.provider), Arc::clone(&service.timer))
            .max_in_flight(args.max_in_flight.get())
            .retry_ambiguous(args.retry_ambiguous)
            .at_most_once(args.at_most_once)
            .idempotency_key(args.idempotency_key || is_compatible)
            .stop(&stop)
            .on_progress(meter.observer());
        if let Some(limit) = args.rpm {
            batch = batch.requests_per_minute(limit);
        }
        if let Some(limit) = args.tpm {
            batch = batch.tokens_per_minute(limit);
        }
        if let Some(attempts) = args.service.attempts {
            batch = batch.max_requests(attempts);
        }
        (batch, stop, meter)
    }

    /// Waits for the end of a batch. The first signal stops it, and the second ends the program.
    async fn until_signal(
        &self,
        running: impl Future<Output = Summary>,
        stop: &Stop,
        meter: &Meter,
    ) -> (Summary, Option<Signal>) {
        self.interrupt.keep_program();
        let mut running = std::pin::pin!(running);
        let mut first = None;
        loop {
            tokio::select! {
                biased;
                summary = &mut running => {
                    meter.finish();
                    return (summary, first);
                }
                signal = self.interrupt.wait() => {
                    if first.is_some() {
                        // Without dropping the requests: a prediction that goes on can be resumed.
                        process::exit(signal.code().into());
                    }
                    first = Some(signal);
                    stop.stop();
                    meter.say("stopping: waiting for the responses under way; Ctrl-C ends at once");
                }
                () = meter.tick() => {}
            }
        }
    }

    /// Returns the result of the command.
    fn ended(&self, counts: Counts, signal: Option<Signal>) -> Result<(), Failure> {
        let has_failed = 0 < counts.failed() && !self.args.failed_as_rows;
        match counts.summary.stopped {
            None if has_failed => Err(Failure::Rows),
            None => Ok(()),
            Some(Stopped::Caller) => Err(Failure::Interrupted(signal.unwrap_or(Signal::Interrupt))),
            Some(Stopped::Key(error) | Stopped::Quota(error) | Stopped::Unreachable(error)) => {
                Err(error.into())
            }
            Some(Stopped::Input(error)) => Err(Failure::Io("reading the rows".to_owned(), error)),
            Some(Stopped::Output(error)) if self.args.output.is_none() => Err(error.into()),
            Some(Stopped::Output(error)) => {
                let message = "writing the responses failed; the same command continues";
                Err(Failure::Io(message.to_owned(), error))
            }
            Some(_) => Err(Error::config("the batch was stopped").into()),
        }
    }
}
