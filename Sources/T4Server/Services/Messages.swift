import EtcdAPI
import RPC
import SwiftProtobuf
import T4Core

extension SwiftProtobuf.Message {
    /// Reads a message that needs no speed; what cannot be read gets gRPC's own error.
    init(decoding bytes: RawSpan) throws(RPCStatus) {
        do {
            self = try bytes.withUnsafeBytes { try Self(serializedBytes: Array($0)) }
        } catch {
            throw RPCStatus(.internal, "grpc: error unmarshalling request: \(error)")
        }
    }

    /// The message's bytes.
    func encoded() throws(RPCStatus) -> [UInt8] {
        do {
            return try serializedBytes()
        } catch {
            throw RPCStatus(.internal, "grpc: error while marshaling: \(error)")
        }
    }
}

extension ServiceContext {
    /// The header as a generated message.
    func message(revision: Revision) -> EtcdResponseHeader {
        var header = EtcdResponseHeader()
        header.clusterID = origin.clusterID
        header.memberID = origin.memberID
        header.raftTerm = origin.raftTerm
        header.revision = revision.rawValue
        return header
    }
}
