//! The `simulate` command.

use std::net::TcpListener;

use crate::{Run, Server, command, run};

fn ask(server: &Server) -> Option<i32> {
    let args = ["chat", "Hi", "--attempts", "1", "--base-url", &server.url];
    Run::of(command(&args).env("CEREBRAS_API_KEY", "any")).code
}

#[test]
fn the_first_line_is_the_base_url() {
    for (flags, scheme) in [(&[][..], "http://"), (&["--tls"], "https://")] {
        let server = Server::start(flags);
        let address = server.url.strip_prefix(scheme).unwrap();
        let port = address.strip_prefix("127.0.0.1:").unwrap();
        assert!(port.strip_suffix("/v1").unwrap().parse::<u16>().is_ok());
    }
}

#[test]
fn faults_apply_in_order_and_then_every_fault() {
    let server = Server::start(&["--fault", "429", "--fault", "cut", "--every-fault", "500"]);
    let codes: Vec<_> = (0..4).map(|_| ask(&server)).collect();
    assert_eq!(codes, [Some(4), Some(6), Some(1), Some(1)]);
}

#[test]
fn a_key_can_be_required() {
    assert_eq!(ask(&Server::start(&["--api-key", "any"])), Some(0));
    assert_eq!(ask(&Server::start(&["--api-key", "other"])), Some(3));
}

#[test]
fn a_port_in_use_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let run = run(&["simulate", "--port", &port]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.error().contains(&port));
}

#[test]
fn an_unknown_fault_of_the_proxy_lists_the_known_ones() {
    let run = run(&["simulate", "--proxy-fault", "broken"]);
    assert_eq!(run.code, Some(2));
    for name in ["none", "proxy-close", "proxy-stall"] {
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
}
