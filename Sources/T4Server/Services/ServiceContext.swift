import RPC
import T4Core

/// What every service needs.
struct ServiceContext: Sendable {
    let node: Node
    let origin: ResponseOrigin
    let settings: EtcdServerSettings
    let advertised: AdvertisedURLs
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
