import RPC
package import T4Core

/// Why a node has nothing to do with another one.
package enum PeerRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// What it says first is nothing that a node says.
    case malformed(PeerCodingError)
    /// It speaks another version of the protocol.
    case version(UInt32)
    /// It is a node of another database.
    case database(DatabaseID, own: DatabaseID)
    /// Its data directory is a copy of the one of this node.
    case copiedInstance(PeerIdentity)
    /// Another process with the same data directory, or a copy of it, is connected.
    case instanceInUse(PeerIdentity)
    /// It is this process itself.
    case ownProcess
    /// The two nodes are connected already.
    case connected
    /// This node stops.
    case stopping
    /// The other one refuses, in these words.
    case other(String)

    package var description: String {
        switch self {
        case .malformed(let error): "it is no node of t4, or what it says was damaged on the way: \(error)"
        case .version(let version):
            "it speaks version \(version) of the protocol between nodes, and this one version \(PeerIdentity.version): "
                + "run the same version of t4 on all nodes"
        case .database(let other, let own):
            "it is a node of database \(other), and this one of database \(own): give it the addresses and the store of "
                + "its own cluster"
        case .copiedInstance(let other):
            "the data directory of node \"\(other.nodeID)\" at \(other.address) is a copy of another node's (instance "
                + "\(other.instanceID)): start it with an empty data directory"
        case .instanceInUse(let other):
            "two processes have the data directory with instance \(other.instanceID), the second is node "
                + "\"\(other.nodeID)\" at \(other.address): start that with an empty data directory, if this does not pass"
        case .ownProcess: "it is this process itself"
        case .connected: "the two nodes are connected already"
        case .stopping: "the node stops"
        case .other(let text): text
        }
    }

    /// Comes and goes without anybody's doing.
    var isOrdinary: Bool {
        switch self {
        case .ownProcess, .connected, .stopping: true
        default: false
        }
    }

    /// The other side comes to the same end once it knows who this is.
    var isMutual: Bool {
        switch self {
        case .version, .database, .copiedInstance: true
        default: false
        }
    }

    /// What the stream ends with.
    var status: RPCStatus { RPCStatus(isOrdinary ? .aborted : .failedPrecondition, description) }

    /// From what a stream ended with before anything was said.
    init?(_ status: RPCStatus) {
        guard status.code != .aborted else { return nil }
        switch status.code {
        case .failedPrecondition: self = .other("it refuses: \(status.message)")
        case .unavailable:
            self = .other("\(status.message): it has ended, or only one of the two nodes has --peer-tls-cert")
        default: self = .other(status.description)
        }
    }
}
