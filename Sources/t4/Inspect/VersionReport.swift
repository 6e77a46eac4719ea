import FoundationEssentials
import T4Core
import T4Protocols

/// A version as JSON; keys and values in base64.
struct VersionReport: Encodable {
    var Key: String
    var Value: String
    var Revision: Int64
    var CreateRevision: Int64
    var PrevRevision: Int64
    var Version: Int64
    var Lease: Int64

    init(_ version: Inspection.Version) {
        Key = Data(version.kv.key).base64EncodedString()
        Value = Data(version.kv.value).base64EncodedString()
        Revision = version.kv.modRevision.rawValue
        CreateRevision = version.kv.createRevision.rawValue
        PrevRevision = version.previousRevision.rawValue
        self.Version = version.kv.version
        Lease = version.kv.lease
    }
}
