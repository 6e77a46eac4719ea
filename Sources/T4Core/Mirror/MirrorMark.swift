import Glibc

/// The file `mirror` of a data directory that follows another database: until a node serves it for itself, nothing has been
/// written to it but what the other one wrote.
package enum MirrorMark {
    /// A directory that cannot be used so.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    private static func path(_ directory: String) -> String { directory + "/mirror" }

    /// The cluster that a directory mirrors, by the number that etcd gives it; nil for no mirror.
    package static func read(_ directory: String) throws -> UInt64? {
        guard let text = try DurableFile.read(path(directory)) else { return nil }
        let fields = DurableFile.fields(of: text)
        guard fields["format"] == "1", let cluster = fields["cluster"].flatMap({ UInt64($0, radix: 16) }) else {
            throw Failure(description: "\(path(directory)) cannot be read: it needs the lines format 1 and cluster")
        }
        return cluster
    }

    /// Makes a directory a mirror; durable when it returns.
    package static func write(_ cluster: UInt64, _ directory: String) throws {
        try DurableFile.write("format 1\ncluster \(String(cluster, radix: 16))\n", to: path(directory))
    }

    /// The directory is used as something else from now on; durable when it returns.
    static func remove(_ directory: String) throws {
        guard unlink(path(directory)) == 0 else {
            if errno == ENOENT { return }
            throw DurableFile.Failure(call: "unlink", path: path(directory), number: errno)
        }
        try DurableFile.syncDirectory(directory)
    }

    /// - Throws: `Failure` for a directory that does not follow that cluster.
    package static func require(_ cluster: UInt64, _ directory: String) throws {
        let held = try read(directory)
        guard held != cluster else { return }
        let reason =
            held.map { "it mirrors the cluster \(String($0, radix: 16)), and not \(String(cluster, radix: 16))" }
            ?? "it is no mirror, or a node was started in it, which may have written what the cluster has not"
        throw Failure(
            description: "\(directory) cannot follow the cluster: \(reason); start again with an empty directory")
    }
}
