//! One question over HTTP/1.1 (RFC 9112), over TCP or TLS.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// A question over HTTP/1.1, in the clear or by TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpProbe {
    /// Where.
    pub address: SocketAddr,
    /// By TLS. The certificate is not judged: one that ran out ran out on both nodes, and no move mends it.
    pub tls: bool,
    /// The name in the Host field and in the TLS handshake.
    pub name: String,
    /// The path, with the query.
    pub path: String,
    /// The least and the greatest status that are well.
    pub status: (u16, u16),
    /// What the body's first 64 KiB have to contain, where anything is asked of them.
    pub contains: Option<String>,
}

/// Asks, and judges the answer. The caller limits the time.
pub(super) async fn ask(probe: &HttpProbe) -> Result<String, String> {
    let stream = TcpStream::connect(probe.address).await.map_err(|error| error.to_string())?;
    if !probe.tls {
        return talk(stream, probe).await;
    }
    let config = TLS.clone().map_err(|error| format!("TLS: {error}"))?;
    let name = ServerName::try_from(probe.name.clone()).map_err(|error| format!("TLS: {}: {error}", probe.name))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    talk(stream, probe).await
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, probe: &HttpProbe) -> Result<String, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(&probe.path)
        .header("host", &probe.name)
        .header("user-agent", concat!("twinbeat/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| words(&error))?;
        let status = answer.status();
        let (least, most) = probe.status;
        if !(least..=most).contains(&status.as_u16()) {
            return Err(format!("HTTP {status}"));
        }
        let body = first(answer.into_body()).await?;
        match &probe.contains {
            Some(wanted) if !String::from_utf8_lossy(&body).contains(wanted.as_str()) => {
                Err(format!("HTTP {}, and its body does not contain {wanted:?}", status.as_u16()))
            }
            _ => Ok(format!("HTTP {}", status.as_u16())),
        }
    };
    tokio::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // The connection ends first where the answer ends with it.
        _ = connection => answered.await,
    }
}

/// The body's first 64 KiB. One that breaks off, or never ends, is no answer.
async fn first(mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut kept = Vec::new();
    while kept.len() < MOST
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| words(&error))?;
        if let Some(data) = frame.data_ref() {
            kept.extend(data.iter().take(MOST.saturating_sub(kept.len())));
        }
    }
    Ok(kept)
}

/// hyper names what went wrong first in the source.
fn words(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// So much of a body is looked at.
const MOST: usize = 64 * 1024;

/// One for all checks: it keeps sessions, which spares the service a handshake each time.
static TLS: LazyLock<Result<Arc<ClientConfig>, Error>> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()))
});

/// Takes any certificate: see [`HttpProbe::tls`]. That the server has the key to it is asked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
