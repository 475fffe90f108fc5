//! Faults of the bytes on a connection: each against every protocol.

use futures_util::future::join_all;
use inferstream::{
    ErrorKind::{
        self, Disconnected, InvalidRequest, Protocol as Invalid, Provider, RateLimited, Redirect,
        Timeout, Tls, TooLarge, Truncated,
    },
    Phase, Timeouts,
};
use inferstream_simulator::{Fault, Wire};

use crate::run::{PROTOCOLS, Protocol, SOON, Seen, TEXT, run};

/// What must be seen, except at Replicate, whose streams are read again.
struct Expected {
    /// The kinds of error that are right; none means that the response must be complete.
    kinds: &'static [ErrorKind],
    /// Whether a complete response is right, too.
    or_complete: bool,
    /// Whether the fault is in the middle, so that a part of the text is delivered.
    in_middle: bool,
    /// The number of requests for work.
    works: usize,
    /// What must be seen at Replicate, if it is not a complete response.
    replicate: &'static [ErrorKind],
}

const fn complete() -> Expected {
    Expected {
        kinds: &[],
        or_complete: true,
        in_middle: false,
        works: 1,
        replicate: &[],
    }
}

/// The response fails before its text; Replicate's stream is requested again, or its prediction.
const fn fails(kinds: &'static [ErrorKind]) -> Expected {
    Expected {
        kinds,
        or_complete: false,
        in_middle: false,
        works: 1,
        replicate: &[],
    }
}

/// The response fails after a part of its text.
const fn cut(kinds: &'static [ErrorKind]) -> Expected {
    Expected {
        in_middle: true,
        ..fails(kinds)
    }
}

impl Expected {
    /// Replicate fails as all others do.
    const fn everywhere(mut self) -> Self {
        self.replicate = self.kinds;
        self
    }

    const fn or_complete(mut self) -> Self {
        self.or_complete = true;
        self
    }

    /// The number of requests that the server reads.
    const fn works(mut self, works: usize) -> Self {
        self.works = works;
        self
    }

    #[track_caller]
    fn check(&self, fault: Wire, protocol: Protocol, seen: &Seen) {
        let context = format!("{fault} {protocol:?}: {seen:?}");
        let is_replicate = protocol == Protocol::Replicate;
        let kinds = if is_replicate {
            self.replicate
        } else {
            self.kinds
        };
        match seen.kind() {
            None => assert!(kinds.is_empty() || self.or_complete, "{context}"),
            Some(kind) => assert!(kinds.contains(&kind), "{context}"),
        }
        if let (true, Err(error)) = (self.in_middle, &seen.end) {
            let is_part = !seen.text.is_empty() && seen.text.len() < TEXT.len();
            assert!(is_part, "{context}");
            let partial = error.partial().map(|partial| partial.text().to_string());
            assert_eq!(partial.as_deref(), Some(&*seen.text), "{context}");
        }
        // Replicate's prediction is created once; only its stream is requested again.
        let works = if is_replicate {
            self.works.min(1)
        } else {
            self.works
        };
        assert_eq!(seen.works, works, "{context}");
    }
}

/// Returns short limits for these timeouts, and the defaults for the others.
fn limits(kinds: &[ErrorKind]) -> Timeouts {
    let timeouts = Timeouts::default();
    kinds.iter().fold(timeouts, |timeouts, kind| match kind {
        Timeout(Phase::Head) => timeouts.head(SOON),
        Timeout(Phase::FirstEvent) => timeouts.first_event(SOON),
        Timeout(Phase::Idle) => timeouts.idle(SOON),
        Timeout(Phase::Progress) => timeouts.progress(SOON),
        _ => timeouts,
    })
}

async fn check(fault: Wire, expected: Expected) {
    let timeouts = limits(expected.kinds);
    let runs = PROTOCOLS.map(async |protocol| {
        if fault.needs_json() && protocol == Protocol::Replicate {
            return;
        }
        let seen = run(Fault::Wire(fault), protocol, timeouts).await;
        expected.check(fault, protocol, &seen);
    });
    join_all(runs).await;
}

macro_rules! faults {
    ($($name:ident: $fault:ident => $expected:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                check(Wire::$fault, $expected).await;
            }
        )*

        #[test]
        fn every_fault_has_a_test() {
            let tested = [$(Wire::$fault,)*];
            for fault in Wire::ALL {
                assert!(tested.contains(fault), "{fault} has no test in tests/faults/wire.rs");
            }
        }
    };
}

const HEAD: &[ErrorKind] = &[Timeout(Phase::Head)];
const FIRST: &[ErrorKind] = &[Timeout(Phase::FirstEvent)];
const IDLE: &[ErrorKind] = &[Timeout(Phase::Idle)];
const PROGRESS: &[ErrorKind] = &[Timeout(Phase::Progress)];

faults! {
    // Connections and TLS: nothing is sent, or the request is lost.
    reset_on_accept: ResetOnAccept => fails(&[Disconnected]).everywhere().works(0);
    handshake_silence: HandshakeSilence => fails(HEAD).everywhere().works(0);
    plain_http: PlainHttp => fails(&[Tls]).everywhere().works(0);
    tls_alert: TlsAlert => fails(&[Tls]).everywhere().works(0);
    http2_only: Http2Only => fails(&[Invalid]).everywhere().works(0);
    certificate_expired: CertificateExpired => fails(&[Tls]).everywhere().works(0);
    certificate_future: CertificateFuture => fails(&[Tls]).everywhere().works(0);
    certificate_host: CertificateHost => fails(&[Tls]).everywhere().works(0);
    certificate_name_only: CertificateNameOnly => fails(&[Tls]).everywhere().works(0);
    certificate_wildcard: CertificateWildcard => fails(&[Tls]).everywhere().works(0);
    certificate_unknown: CertificateUnknown => fails(&[Tls]).everywhere().works(0);
    certificate_chain: CertificateChain => fails(&[Tls]).everywhere().works(0);

    // Headers.
    early_refusal: EarlyRefusal => fails(&[InvalidRequest, Disconnected]).everywhere().works(0);
    reset_before_head: ResetBeforeHead => fails(&[Disconnected]);
    half_head: HalfHead => fails(HEAD);
    drip_head: DripHead => fails(HEAD);
    endless_hints: EndlessHints => fails(HEAD);
    huge_header: HugeHeader => fails(&[TooLarge]);
    many_headers: ManyHeaders => fails(&[TooLarge]);
    garbage: Garbage => fails(&[Invalid]);
    http09: Http09 => fails(&[Invalid]);
    two_lengths: TwoLengths => fails(&[Invalid]);
    length_and_chunks: LengthAndChunks => complete();
    switch: Switch => fails(&[Invalid]);
    continue_only: ContinueOnly => fails(HEAD);
    reset_content: ResetContent => fails(&[Invalid]).or_complete();
    nul_in_header: NulInHeader => fails(&[Invalid]);
    cr_in_header: CrInHeader => fails(&[Invalid]);
    folded_header: FoldedHeader => fails(&[Invalid]);
    no_content: NoContent => fails(&[Invalid, Truncated]);
    empty_stream: EmptyStream => fails(&[Truncated]);
    html_page: HtmlPage => fails(&[Invalid]);
    json_error: JsonError => fails(&[Provider]);
    no_content_type: NoContentType => complete();
    utf16: Utf16 => fails(&[Invalid]).or_complete();
    html_as_stream: HtmlAsStream => fails(&[Invalid]);
    gzip: Gzip => fails(&[Invalid]);
    gzip_bomb: GzipBomb => fails(&[Invalid]);
    stacked_encodings: StackedEncodings => fails(&[Invalid]);

    // Event streams.
    one_byte_writes: OneByteWrites => complete();
    cr_lines: CrLines => complete();
    crlf_lines: CrLfLines => complete();
    byte_order_mark: ByteOrderMark => complete();
    two_byte_order_marks: TwoByteOrderMarks => fails(&[Invalid]).or_complete();
    invalid_utf8: InvalidUtf8 => cut(&[Invalid]).or_complete();
    invalid_utf8_comment: InvalidUtf8Comment => complete();
    endless_line: EndlessLine => cut(&[TooLarge]).everywhere();
    endless_event: EndlessEvent => cut(&[TooLarge]).everywhere();
    endless_comments: EndlessComments => cut(PROGRESS).everywhere();
    comments: Comments => cut(PROGRESS).everywhere();
    endless_lines: EndlessLines => cut(PROGRESS).everywhere();
    endless_events: EndlessEvents => cut(&[Timeout(Phase::Progress), Invalid]).everywhere();
    deep_json: DeepJson => cut(&[Invalid]);
    wrong_types: WrongTypes => cut(&[Invalid]);
    unknown_event: UnknownEvent => complete();
    no_space: NoSpace => complete();
    two_ends: TwoEnds => complete();
    text_after_end: TextAfterEnd => complete();
    no_blank_line: NoBlankLine => fails(&[Truncated]).or_complete();
    error_event: ErrorEvent => cut(&[Provider]).everywhere();

    // The end of the body.
    clean_cut: CleanCut => cut(&[Truncated]);
    clean_cut_in_event: CleanCutInEvent => cut(&[Truncated]);
    cut_until_close: CutUntilClose => cut(&[Truncated]);
    cut_until_close_in_event: CutUntilCloseInEvent => cut(&[Truncated]);
    until_close: UntilClose => complete();
    known_length: KnownLength => complete();
    cut_between_chunks: CutBetweenChunks => cut(&[Truncated]);
    cut_in_chunk: CutInChunk => cut(&[Truncated]);
    short_length: ShortLength => cut(&[Truncated]);
    reset_in_event: ResetInEvent => cut(&[Truncated]);
    open_at_end: OpenAtEnd => complete();
    reset_at_end: ResetAtEnd => complete();
    chunk_size: ChunkSize => cut(&[Invalid]).everywhere();
    chunk_size_overflow: ChunkSizeOverflow => cut(&[Invalid]).everywhere();
    chunk_extensions: ChunkExtensions => cut(&[Invalid]).everywhere();
    trailers: Trailers => complete();
    no_close_notify: NoCloseNotify => complete();
    no_close_notify_in_middle: NoCloseNotifyInMiddle => cut(&[Truncated]);
    corrupt_record: CorruptRecord => cut(&[Truncated]);

    // Stalls.
    head_then_silence: HeadThenSilence => fails(FIRST).everywhere();
    stall_in_event: StallInEvent => cut(IDLE).everywhere();
    drip: Drip => fails(FIRST).everywhere();
    endless_error_body: EndlessErrorBody => complete().works(2);
    huge_error_body: HugeErrorBody => fails(&[InvalidRequest]).everywhere();

    // Retries and redirects.
    retry_ms: RetryMs => complete().works(2);
    retry_date: RetryDate => complete().works(2);
    retry_twice: RetryTwice => complete().works(2);
    retry_huge: RetryHuge => complete().works(2);
    should_not_retry: ShouldNotRetry => fails(&[RateLimited]);
    should_retry: ShouldRetry => fails(&[InvalidRequest]).everywhere();
    redirect_301: Redirect301 => fails(&[Redirect]);
    redirect_302: Redirect302 => fails(&[Redirect]);
    redirect_303: Redirect303 => fails(&[Redirect]);
    redirect_307: Redirect307 => fails(&[Redirect]);
    redirect_308: Redirect308 => fails(&[Redirect]);
    redirect_loop: RedirectLoop => fails(&[Redirect]);
    redirect_nowhere: RedirectNowhere => fails(&[Redirect]);
    redirect_file: RedirectFile => fails(&[Redirect]);
    redirect_huge: RedirectHuge => fails(&[Redirect]);
    many_cookies: ManyCookies => complete();
}

#[tokio::test]
async fn a_redirected_request_reaches_no_other_origin() {
    for protocol in PROTOCOLS {
        let seen = run(
            Fault::Wire(Wire::Redirect307),
            protocol,
            Timeouts::default(),
        )
        .await;
        let own = usize::from(protocol == Protocol::Replicate);
        assert_eq!(seen.streams, own, "{protocol:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_prediction_is_created_once_whatever_is_wrong_with_the_response() {
    let runs = Wire::ALL.iter().map(async |fault| {
        // A prediction that was refused by its status is created again.
        let is_retried = matches!(
            fault,
            Wire::RetryMs | Wire::RetryDate | Wire::RetryTwice | Wire::RetryHuge
        );
        if fault.is_before_http() || fault.needs_tls() || is_retried {
            return;
        }
        let timeouts = limits(HEAD).first_event(SOON).idle(SOON).progress(SOON);
        let seen = run(Fault::Create(*fault), Protocol::Replicate, timeouts).await;
        assert_eq!(seen.works, 1, "{fault}: {seen:?}");
        assert!(seen.end.is_err() || seen.text == TEXT, "{fault}: {seen:?}");
    });
    join_all(runs).await;
}
