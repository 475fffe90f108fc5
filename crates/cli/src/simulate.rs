//! The `simulate` command: runs the simulator until Ctrl-C.

use std::{
    fs,
    io::{self, Write as _},
};

use inferstream_simulator::{Fault, Proxy, ProxyFault, Simulator};

use crate::{
    args::{ProxyKind, Simulate},
    exit::Failure,
    output::say,
    runtime,
    service::simulator,
};

/// Runs the `simulate` command.
pub(crate) fn run(args: &Simulate) -> Result<(), Failure> {
    if args.list_faults {
        return list_faults();
    }
    runtime::run(async |interrupt| {
        let mut builder = simulator(args.seed, args.tps, &args.fault)
            .port(args.port)
            .tls(args.tls);
        if let Some(fault) = &args.every_fault {
            builder = builder.every_fault(fault.clone());
        }
        if let Some(key) = &args.api_key {
            builder = builder.api_key(key);
        }
        let simulator = builder
            .start()
            .await
            .map_err(|error| Failure::Io(format!("cannot listen on port {}", args.port), error))?;
        if let (Some(path), Some(pem)) = (&args.cert_file, simulator.certificate_pem()) {
            fs::write(path, pem).map_err(|error| Failure::Io(path.display().to_string(), error))?;
        }
        let proxy = match args.proxy_fault {
            None => None,
            Some(ProxyKind(fault)) => Some(
                Proxy::start(fault)
                    .await
                    .map_err(|error| Failure::Io("cannot start the proxy".to_owned(), error))?,
            ),
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", simulator.base_url())?;
        stdout.flush()?;
        say(&how_to_use(args, &simulator));
        if let Some(proxy) = &proxy {
            let (http, socks) = (proxy.http_url(), proxy.socks_url());
            say(&format!("The proxy: --proxy {http} or --proxy {socks}\n"));
        }
        interrupt.wait().await;
        Ok(())
    })
}

/// Prints one line per fault.
fn list_faults() -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let services = Fault::all().filter_map(|fault| fault.info());
    for info in services.chain(ProxyFault::ALL.iter().map(|fault| fault.info())) {
        let (name, applies_to) = (info.name, info.applies_to);
        writeln!(
            stdout,
            "{name}\t{applies_to}\t{}\t{}",
            info.does, info.expected
        )?;
    }
    Ok(())
}

fn how_to_use(args: &Simulate, simulator: &Simulator) -> String {
    let url = simulator.base_url();
    let key = match args.api_key {
        None => "any",
        Some(_) => "…",
    };
    let cloudflare = simulator.cloudflare_url();
    let compatible = simulator.compatible_url();
    let replicate = simulator.replicate_url();
    let scheme = if args.tls { "https" } else { "http" };
    let streams = format!("{scheme}://{}", simulator.stream_authority());
    let (curl, chat) = match (args.tls, &args.cert_file) {
        (false, _) => (String::new(), String::new()),
        (true, None) => (" --insecure".to_owned(), " --cacert …".to_owned()),
        (true, Some(path)) => {
            let flag = format!(" --cacert {}", path.display());
            (flag.clone(), flag)
        }
    };
    let mut text = format!(
        "\
SIMULATED: no model runs; responses are generated. Press Ctrl-C to stop. In another terminal:

  curl -N{curl} {url}/chat/completions \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{\"model\":\"gpt-oss-120b\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}]}}'

  CEREBRAS_BASE_URL={url} CEREBRAS_API_KEY={key} \\
    inferstream chat --behind-gateway{chat} 'Why is the sky blue?'

  CLOUDFLARE_BASE_URL={cloudflare} CLOUDFLARE_API_TOKEN={key} \\
    inferstream chat -p cloudflare --account 00000000000000000000000000000000{chat} 'Hi'

  OPENAI_COMPAT_BASE_URL={compatible} \\
    inferstream chat -p openai-compat -m any{chat} 'Hi'

  REPLICATE_BASE_URL={replicate} REPLICATE_API_TOKEN={key} \\
    inferstream chat -p replicate --stream-origin {streams}{chat} 'Why is the sky blue?'
"
    );
    if args.tls && args.cert_file.is_none() {
        text.push_str("\nUse --cert-file to write the certificate to a file.\n");
    }
    text
}
