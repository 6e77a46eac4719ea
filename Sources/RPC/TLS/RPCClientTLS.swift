import NIOCore
import NIOSSL
import NIOTLS

/// How a client speaks TLS 1.2 or 1.3, or 1.3 alone: whom it trusts, and what it shows.
///
/// The server's certificate must be signed by somebody it trusts and be for the host that is connected to, a name or an IP
/// address.
public final class RPCClientTLS: Sendable {
    /// Files as they were read.
    struct Content: Equatable {
        var authority: [UInt8]?
        var certificate: [UInt8]?
        var key: [UInt8]?

        init(
            _ authority: CredentialFile?, _ certificate: (certificate: CredentialFile, key: CredentialFile)?
        ) throws(CredentialFileError) {
            self.authority = try authority?.read()
            self.certificate = try certificate?.certificate.read()
            key = try certificate?.key.read()
        }
    }

    private let context: NIOSSLContext

    /// Reads the files; blocks.
    /// - Parameters:
    ///   - authority: CAs that are trusted, in PEM format; nil for those of the operating system.
    ///   - certificate: The client's certificate with those above it, in PEM format, and its key; nil to show none.
    ///   - minimum: The lowest version that is spoken.
    /// - Throws: The first thing that is wrong with a file.
    public convenience init(
        authority: CredentialFile?, certificate: (certificate: CredentialFile, key: CredentialFile)?,
        minimum: RPCTLSVersion = .tls12
    ) throws(CredentialFileError) {
        try self.init(Content(authority, certificate), authority, certificate, minimum: minimum)
    }

    init(
        _ content: Content, _ authority: CredentialFile?,
        _ certificate: (certificate: CredentialFile, key: CredentialFile)?, minimum: RPCTLSVersion
    ) throws(CredentialFileError) {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.setUp(minimum: minimum)
        configuration.applicationProtocols = ["h2"]
        if let authority, let bytes = content.authority {
            configuration.trustRoots = .certificates(try PEM(file: authority, bytes: bytes).authorities())
        }
        if let certificate, let bytes = content.certificate, let key = content.key {
            let pair = try CertificatePair(
                certificate.certificate, certificateBytes: bytes, certificate.key, keyBytes: key,
                now: CertificateClock.now)
            configuration.certificateChain = pair.chain
            configuration.privateKey = pair.key
            context = try pair.context(configuration)
        } else {
            do {
                context = try NIOSSLContext(configuration: configuration)
            } catch {
                let file = authority ?? CredentialFile(setting: "TLS", path: "the CAs of the operating system")
                throw file.problem("cannot be used: \(TLSReason.text(error))", "name a file with the CA to trust")
            }
        }
    }

    /// Puts TLS in front of the handlers of a channel.
    /// - Returns: When the handshake is over; fails when it fails, or the channel is closed before.
    func add(to channel: any Channel, host: String) throws -> EventLoopFuture<Void> {
        // A certificate for an address is compared with the one that the channel is connected to.
        let tls = try NIOSSLClientHandler(
            context: context, serverHostname: RPCClientTLS.isAddress(host) ? nil : host)
        let waiter = HandshakeWaiter(channel.eventLoop.makePromise())
        try channel.pipeline.syncOperations.addHandlers([tls, waiter], position: .first)
        return waiter.promise.futureResult
    }

    private static func isAddress(_ host: String) -> Bool {
        do {
            _ = try SocketAddress(ipAddress: host, port: 0)
            return true
        } catch {
            return false
        }
    }
}

/// Hears how the handshake of a client ends.
private final class HandshakeWaiter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    let promise: EventLoopPromise<Void>
    private var isOver = false

    init(_ promise: EventLoopPromise<Void>) { self.promise = promise }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.handshakeCompleted(let negotiated)) = event as? TLSUserEvent {
            end(
                negotiated == "h2" ? .success(()) : .failure(TLSFailure(reason: "the server speaks no HTTP/2 over TLS"))
            )
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(.failure(TLSFailure(reason: TLSReason.text(error))))
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(.failure(TLSFailure(reason: "the connection was closed")))
        context.fireChannelInactive()
    }

    /// For a channel that never became active.
    func handlerRemoved(context: ChannelHandlerContext) {
        end(.failure(TLSFailure(reason: "there is no connection")))
    }

    private func end(_ result: Result<Void, any Error>) {
        guard !isOver else { return }
        isOver = true
        promise.completeWith(result)
    }
}

/// Why a TLS handshake failed.
struct TLSFailure: Error, CustomStringConvertible {
    var reason: String
    var description: String { "TLS: \(reason)" }
}
