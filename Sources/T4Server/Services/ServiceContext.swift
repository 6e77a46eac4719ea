import RPC
import T4Core

/// What every service needs.
struct ServiceContext: Sendable {
    let node: Node
    let origin: ResponseOrigin
    let settings: EtcdServerSettings
    let advertised: AdvertisedURLs

    /// The header of an answer that speaks of no revision of its own.
    func header(revision: Revision) -> ResponseHeader { ResponseHeader(origin: origin, revision: revision) }

    /// What etcd's own envelope adds to a request before it is measured.
    private static let envelopeBytes = 17

    /// Refuses a write that is larger than the limit, as etcd does before it proposes.
    func checkSize(_ request: RawSpan) throws(DatabaseError) {
        guard request.byteCount + ServiceContext.envelopeBytes <= settings.requestSizeMax else {
            throw DatabaseError(
                .requestTooLarge, "\(request.byteCount) bytes, at most \(settings.requestSizeMax) are allowed")
        }
    }
}

extension ServerCall {
    /// Runs `body` and answers with what it throws.
    func answeringErrors(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            fail(RPCStatus(describing: error))
        }
    }
}

extension RPCStatus {
    /// The status of any error that a handler may throw.
    init(describing error: any Error) {
        switch error {
        case let status as RPCStatus: self = status
        case let error as DatabaseError: self = EtcdErrors.status(error)
        case WireFailure.refused(let code): self = EtcdErrors.status(DatabaseError(code))
        case WireFailure.malformed(let reason):
            self.init(.internal, "grpc: error unmarshalling request: \(reason.rawValue)")
        default: self.init(.unknown, "\(error)")
        }
    }
}
