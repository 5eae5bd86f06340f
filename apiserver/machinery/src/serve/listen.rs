//! The socket that is served on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted.
const WAITING: u32 = 1024;
/// `EAFNOSUPPORT` of Linux: a kernel that was started without IPv6.
const NO_SUCH_FAMILY: i32 = 97;

/// Listens on all addresses of the machine: those of both families through one socket, whatever the machine has for a
/// default, or those of IPv4 alone where there is no IPv6.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    or_ipv4_alone(both_families(port), || {
        listening(TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into())
    })
}

fn both_families(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    SockRef::from(&socket).set_only_v6(false)?;
    listening(socket, (Ipv6Addr::UNSPECIFIED, port).into())
}

fn listening(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

fn or_ipv4_alone<T>(both: io::Result<T>, alone: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match both {
        Err(error) if is_without_ipv6(&error) => {
            tracing::info!(%error, "there is no IPv6 here: IPv4 alone is served on");
            alone()
        }
        listener => listener,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn t1_both_families_are_served() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        if listener.local_addr().unwrap().is_ipv6() {
            assert!(!SockRef::from(&listener).only_v6().unwrap(), "not left to the machine");
        }
        assert_eq!(listen(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[rstest]
    #[case::kernel_without_it(io::Error::from_raw_os_error(NO_SUCH_FAMILY), true)]
    #[case::no_such_address(io::ErrorKind::AddrNotAvailable.into(), true)]
    #[case::taken(io::ErrorKind::AddrInUse.into(), false)]
    #[case::low_port(io::ErrorKind::PermissionDenied.into(), false)]
    fn t1_ipv4_alone_is_for_machines_without_ipv6(#[case] error: io::Error, #[case] falls_back: bool) {
        assert_eq!(or_ipv4_alone(Err(error), || Ok(())).is_ok(), falls_back);
    }
}
