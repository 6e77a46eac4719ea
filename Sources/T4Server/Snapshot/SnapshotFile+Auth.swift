import EtcdAPI
import FoundationEssentials
import SwiftProtobuf
import T4Core

extension SnapshotFile {
    /// Writes the buckets about authentication: whoever restores the file has the same users and roles, and needs the
    /// same passwords. Logins stay behind.
    static func addAccounts(_ accounts: AuthAccounts, to writer: inout BoltFileWriter) throws {
        // A database that never had accounts gets these rows from etcd itself.
        if accounts.revision > 1 {
            try add("authEnabled", [accounts.isEnabled ? 1 : 0], to: &writer)
            var revision: [UInt8] = []
            revision.append(bigEndian: accounts.revision)
            try add("authRevision", revision, to: &writer)
        }
        try writer.endBucket("auth")
        for name in accounts.roles.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            var role = EtcdRole()
            role.name = Data(name)
            role.keyPermission = (accounts.roles[name]?.permissions ?? []).map(EtcdPermission.init)
            try add(name, role.encoded(), to: &writer)
        }
        try writer.endBucket("authRoles")
        for name in accounts.users.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            guard let user = accounts.users[name] else { continue }
            var message = EtcdUser()
            message.name = Data(name)
            message.password = Data(user.password)
            message.roles = user.roles.map { String(decoding: $0, as: UTF8.self) }
            message.options.noPassword = user.hasNoPassword
            try add(name, message.encoded(), to: &writer)
        }
        try writer.endBucket("authUsers")
    }

    private static func add(_ name: String, _ value: [UInt8], to writer: inout BoltFileWriter) throws {
        try add(Array(name.utf8), value, to: &writer)
    }

    private static func add(_ name: [UInt8], _ value: [UInt8], to writer: inout BoltFileWriter) throws {
        try writer.add(key: name.span.bytes, value: value.span.bytes)
    }
}
