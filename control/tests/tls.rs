//! TLS: what is negotiated, what is refused at the start, and a certificate's renewal.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::control::{Control, Service};

struct Stand {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
    cert: PathBuf,
    key: PathBuf,
}

impl Stand {
    fn new() -> Self {
        // As the service does; another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let stand = Stand { folder, ca: ca(), cert, key };
        stand.issue(&stand.ca);
        stand
    }

    /// Writes a certificate for the service, and its key.
    fn issue(&self, ca: &CertifiedIssuer<'_, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&self.cert, params.signed_by(&key, ca).unwrap().pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
    }

    fn control(&self) -> Control {
        let program = Path::new(env!("CARGO_BIN_EXE_portcullis-control"));
        let control = Control::in_folder(program, self.folder.path(), None).unwrap();
        control.with(&["--tls-cert", self.cert.to_str().unwrap(), "--tls-key", self.key.to_str().unwrap()])
    }
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Asks over a new connection, trusting one authority only.
fn ask(service: &Service, ca: &str, http1_only: bool) -> Result<(u16, reqwest::Version), reqwest::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        let mut client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy();
        if http1_only {
            client = client.http1_only();
        }
        let answer =
            client.build().unwrap().get(format!("https://{}/readyz", service.address)).send().await?;
        Ok((answer.status().as_u16(), answer.version()))
    })
}

#[test]
fn both_versions_of_http_are_negotiated() {
    let stand = Stand::new();
    let service = stand.control().start().unwrap();
    assert_eq!(ask(&service, &stand.ca.pem(), false).unwrap(), (200, reqwest::Version::HTTP_2));
    assert_eq!(ask(&service, &stand.ca.pem(), true).unwrap(), (200, reqwest::Version::HTTP_11));
    assert!(ask(&service, &ca().pem(), false).is_err(), "another authority's certificate");
}

#[test]
fn a_renewed_certificate_is_taken_up_without_a_restart() {
    let stand = Stand::new();
    let service = stand.control().start().unwrap();
    let hang_up = || Command::new("kill").args(["-HUP", &service.pid().to_string()]).status().unwrap();
    let renewed = ca();
    stand.issue(&renewed);
    assert!(hang_up().success());
    let began = Instant::now();
    while ask(&service, &renewed.pem(), false).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "the renewed certificate is not served");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ask(&service, &stand.ca.pem(), false).is_err(), "the former certificate is gone");

    // One that cannot be read changes nothing.
    std::fs::write(&stand.cert, "not a certificate").unwrap();
    assert!(hang_up().success());
    let log = stand.control().log;
    while !std::fs::read_to_string(&log).unwrap().contains("the former one stays in use") {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is said of the bad file");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ask(&service, &renewed.pem(), false).unwrap().0, 200);
}

#[test]
fn files_that_are_no_certificate_are_told_at_the_start() {
    let stand = Stand::new();
    std::fs::write(&stand.key, "not a key").unwrap();
    let Err(error) = stand.control().start() else { panic!("it started") };
    let error = format!("{error:#}");
    assert!(error.contains("key.pem") && error.contains("cannot be used"), "{error}");
    stand.issue(&stand.ca);
    std::fs::remove_file(&stand.cert).unwrap();
    let Err(error) = stand.control().start() else { panic!("it started") };
    assert!(format!("{error:#}").contains("cert.pem"), "{error:#}");
}

#[test]
fn a_page_of_plain_http_signs_nobody_in_where_the_service_has_tls() {
    let stand = Stand::new();
    let service = stand.control().start().unwrap();
    let sign_in = |origin: String| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ca = reqwest::Certificate::from_pem(stand.ca.pem().as_bytes()).unwrap();
            let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
            let asked = client.post(format!("https://{}/api/v1/session", service.address));
            let asked = asked.header("origin", origin).header("x-portcullis-console", "active");
            let answer =
                asked.header("authorization", format!("Bearer {}", service.key)).send().await.unwrap();
            let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
            (answer.status().as_u16(), cookie)
        })
    };
    assert_eq!(sign_in(format!("http://{}", service.address)), (403, None));
    let (status, cookie) = sign_in(format!("https://{}", service.address));
    let cookie = cookie.unwrap();
    assert_eq!(status, 201);
    assert!(cookie.starts_with("__Host-portcullis_session=") && cookie.ends_with("; Secure"), "{cookie}");
}
