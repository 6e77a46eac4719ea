import EtcdAPI
import RPC
import SwiftProtobuf

/// `grpc.health.v1.Health`, as etcd has it: of the server as a whole, named by the empty text. It serves as long as it
/// answers: a node that cannot go on ends its process.
struct HealthService: Sendable {
    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.unary("/grpc.health.v1.Health/Check") { call, bytes in
            call.answeringErrors {
                guard try GRPCHealthCheckRequest(decoding: bytes).service.isEmpty else {
                    throw RPCStatus(.notFound, "unknown service")
                }
                call.respond(try GRPCHealthCheckResponse.with { $0.status = .serving }.encoded())
            }
        }
        router.stream("/grpc.health.v1.Health/Watch") { [context] call in PatientCall(call, context, HealthWatch(call))
        }
    }
}

/// Says once how the service is, which does not change, and stays open.
private final class HealthWatch: PatientWork {
    private let call: ServerCall

    init(_ call: ServerCall) { self.call = call }

    func begin(_ request: RawSpan) throws {
        let isKnown = try GRPCHealthCheckRequest(decoding: request).service.isEmpty
        call.send(try GRPCHealthCheckResponse.with { $0.status = isKnown ? .serving : .serviceUnknown }.encoded())
    }

    func proceed() {}
    func cancel() {}
}
