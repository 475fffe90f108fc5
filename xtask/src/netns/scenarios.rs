//! The scenarios of the job `netns`: what happens to packets, and what the program must make of it.

use std::{fs, thread, time::Duration};

use super::{
    Scenario,
    world::{World, drop_nothing, dropped, ip, replace},
};
use crate::run::Result;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("30 % of packets lost", packet_loss),
    ("IPv6 black hole, good IPv4", ipv6_black_hole),
    ("no route for IPv6, good IPv4", no_ipv6_route),
    ("silent DNS server", silent_dns),
    ("small MTU", small_mtu),
    ("large packets of the request lost", large_requests_lost),
    ("large packets of the response lost", large_responses_lost),
    ("SYN packets lost", syn_lost),
    ("peer vanishes before the response", vanishes_early),
    ("peer vanishes within the response", vanishes),
    ("peer vanishes, no timeout", vanishes_without_timeout),
    ("interface down for 3 s", interface_down),
    ("interface down for good", interface_gone),
    ("no free local port", no_port),
];

/// How long a program may take to start and to exit, on a busy machine, beyond its timeout.
const SLACK: Duration = Duration::from_secs(2);

/// The prompt of most scenarios; the text depends on it.
const PROMPT: &str = "Tell me a story";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn packet_loss(world: &mut World) -> Result<String> {
    let text = world.chat("")?.text;
    let (mut slowest, mut retries, mut total) = (Duration::ZERO, 0, 0);
    for rules in [
        &["tcp dport PORT numgen random mod 100 < 30"][..],
        &["tcp sport PORT numgen random mod 100 < 30"],
        &[
            "tcp dport PORT numgen random mod 100 < 15",
            "tcp sport PORT numgen random mod 100 < 15",
        ],
    ] {
        drop_nothing()?;
        world.drop_packets(rules)?;
        // A few handshakes of a hundred exceed their timeout of 5 s, and are repeated.
        let run = world.chat("--attempts 8")?;
        run.is_complete(&text)?;
        let connects = run.errors.matches("timeout `connect`").count();
        if connects != run.retries() {
            return Err(format!("a timeout after the handshake\n{}", run.errors).into());
        }
        slowest = slowest.max(run.took);
        retries += run.retries();
        total += match dropped()? {
            0 => return Err("no packet was dropped".into()),
            dropped => dropped,
        };
    }
    Ok(format!(
        "3 complete responses in at most {slowest:.1?}; {total} packets dropped, {retries} \
         handshakes repeated"
    ))
}

/// Compares the time with a host that has only an IPv4 address.
fn added_time(world: &World) -> Result<String> {
    let best = |host| -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let run = world.chat_with(host, PROMPT, "--max-tokens 1")?;
            if run.code != Some(0) {
                return Err(run.errors.into());
            }
            best = best.min(run.took);
        }
        Ok(best)
    };
    let (good, mixed) = (best("good.test")?, best("mixed.test")?);
    let added = mixed.saturating_sub(good);
    if Duration::from_millis(500) < added {
        return Err(format!("the first address costs {added:.1?}").into());
    }
    Ok(format!("success, {added:.1?} later than with IPv4 alone"))
}

fn ipv6_black_hole(world: &mut World) -> Result<String> {
    ip("address add fd00::1/128 dev lo nodad")?;
    let hosts = "fd00::1 mixed.test\n127.0.0.1 mixed.test\n127.0.0.1 good.test\n";
    replace("/etc/hosts", hosts)?;
    world.drop_packets(&["ip6 daddr fd00::1"])?;
    // Without IPv4, nothing answers.
    let run = world.chat_with("[fd00::1]", PROMPT, "--connect-timeout 1 --attempts 1")?;
    run.is_error(5, &["`connect`"], seconds(1) + SLACK)?;
    added_time(world)
}

fn no_ipv6_route(world: &mut World) -> Result<String> {
    let hosts = "2001:db8::1 mixed.test\n127.0.0.1 mixed.test\n127.0.0.1 good.test\n";
    replace("/etc/hosts", hosts)?;
    let run = world.chat_with("[2001:db8::1]", PROMPT, "--attempts 1")?;
    run.is_error(5, &["connection to [2001:db8::1]"], SLACK)?;
    added_time(world)
}

fn silent_dns(world: &mut World) -> Result<String> {
    replace("/etc/resolv.conf", "nameserver 127.0.0.53\n")?;
    world.drop_packets(&["udp dport 53"])?;
    let flags = "--connect-timeout 2 --attempts 1";
    let waiting = world.start("silent.test", PROMPT, flags)?;
    // A lookup that hangs does not affect an address.
    let text = world.chat("")?;
    text.is_complete(&text.text)?;
    let run = waiting.end()?;
    run.is_error(5, &["`dns`", "silent.test"], seconds(2) + SLACK)?;
    Ok(run.error())
}

fn small_mtu(world: &mut World) -> Result<String> {
    let prompt = "Tell me a long story. ".repeat(1000);
    let text = world.chat_with("127.0.0.1", &prompt, "")?.text;
    ip("link set lo mtu 576")?;
    let run = world.chat_with("127.0.0.1", &prompt, "")?;
    run.is_complete(&text)?;
    Ok(format!("a prompt of {} bytes is complete", prompt.len()))
}

fn large_requests_lost(world: &mut World) -> Result<String> {
    world.drop_packets(&["tcp dport PORT meta length > 1000"])?;
    let prompt = "Tell me a long story. ".repeat(1000);
    let flags = "--first-event-timeout 3 --attempts 1";
    let run = world.chat_with("127.0.0.1", &prompt, flags)?;
    run.is_error(5, &["`head`"], seconds(3) + SLACK)?;
    Ok(run.error())
}

fn large_responses_lost(world: &mut World) -> Result<String> {
    let complete = world.chat("")?.text;
    let mut running = world.start("127.0.0.1", PROMPT, "--idle-timeout 3")?;
    let read = running.read(20)?;
    // Acknowledgements pass, and so TCP's keep-alive finds nothing.
    world.drop_packets(&["tcp sport PORT meta length > 100"])?;
    let run = running.end()?;
    run.is_error(5, &["`idle`"], seconds(3) + SLACK)?;
    is_prefix(&read, &run.text, &complete)?;
    Ok(run.error())
}

fn syn_lost(world: &mut World) -> Result<String> {
    world.drop_packets(&["tcp dport PORT tcp flags & (syn | ack) == syn"])?;
    let run = world.chat("--connect-timeout 2 --attempts 2")?;
    run.is_error(5, &["`connect`"], seconds(6) + SLACK)?;
    if run.retries() != 1 {
        return Err(format!("expected 1 retry\n{}", run.errors).into());
    }
    Ok(run.error())
}

/// Checks that the text is a prefix of the complete one.
fn is_prefix(read: &str, rest: &str, complete: &str) -> Result<()> {
    let text = format!("{read}{}", rest.trim_end_matches('\n'));
    if complete.starts_with(&text) && text.len() < complete.len() {
        return Ok(());
    }
    Err(format!("expected the beginning of the text, but: {text}").into())
}

const ALL: &[&str] = &["tcp dport PORT", "tcp sport PORT"];

fn vanishes_early(world: &mut World) -> Result<String> {
    // The request and its acknowledgement pass; the response does not.
    world.drop_packets(&["tcp sport PORT meta length > 100"])?;
    let run = world.chat("--first-event-timeout 3 --attempts 3")?;
    run.is_error(5, &["`head`"], seconds(3) + SLACK)?;
    if run.retries() != 0 {
        return Err(format!("the request was repeated\n{}", run.errors).into());
    }
    Ok(run.error())
}

fn vanishes(world: &mut World) -> Result<String> {
    let complete = world.chat("")?.text;
    let mut running = world.start("127.0.0.1", PROMPT, "--idle-timeout 3")?;
    let read = running.read(20)?;
    world.drop_packets(ALL)?;
    let run = running.end()?;
    run.is_error(5, &["`idle`"], seconds(3) + SLACK)?;
    is_prefix(&read, &run.text, &complete)?;
    Ok(run.error())
}

fn vanishes_without_timeout(world: &mut World) -> Result<String> {
    let complete = world.chat("")?.text;
    let mut running = world.start("127.0.0.1", PROMPT, "--idle-timeout 0")?;
    let read = running.read(20)?;
    world.drop_packets(ALL)?;
    let run = running.end()?;
    // TCP keep-alive: 15 s of silence, and three probes 15 s apart.
    run.is_error(6, &["connection was lost"], seconds(60) + SLACK)?;
    is_prefix(&read, &run.text, &complete)?;
    Ok(run.error())
}

fn interface_down(world: &mut World) -> Result<String> {
    let complete = world.chat("")?.text;
    let mut running = world.start("127.0.0.1", PROMPT, "")?;
    let read = running.read(20)?;
    ip("link set lo down")?;
    thread::sleep(seconds(3));
    ip("link set lo up")?;
    let mut run = running.end()?;
    run.text.insert_str(0, &read);
    run.is_complete(&complete)?;
    Ok(format!("complete after {:.1?}", run.took))
}

fn interface_gone(world: &mut World) -> Result<String> {
    let complete = world.chat("")?.text;
    let mut running = world.start("127.0.0.1", PROMPT, "--idle-timeout 3")?;
    let read = running.read(20)?;
    ip("link set lo down")?;
    let run = running.end()?;
    run.is_error(5, &["`idle`"], seconds(3) + SLACK)?;
    is_prefix(&read, &run.text, &complete)?;
    drop_nothing()?;
    Ok(run.error())
}

fn no_port(world: &mut World) -> Result<String> {
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009")?;
    // Until their response begins, all ten hold a port.
    world.drop_packets(&["tcp sport PORT meta length > 100"])?;
    let holders: Result<Vec<_>> = (0..10)
        .map(|_| world.start("127.0.0.1", PROMPT, ""))
        .collect();
    let mut holders = holders?;
    thread::sleep(SLACK);
    let run = world.chat("--attempts 2")?;
    let says = ["no local address or port is free", "retrying in"];
    run.is_error(5, &says, SLACK * 2)?;
    drop_nothing()?;
    holders.pop().map_or(Ok(()), super::world::Running::kill)?;
    let again = world.chat("--attempts 5")?;
    again.is_complete(&again.text)?;
    for holder in holders {
        let held = holder.end()?;
        held.is_complete(&again.text)?;
    }
    Ok(format!("{}; then complete", run.error()))
}
