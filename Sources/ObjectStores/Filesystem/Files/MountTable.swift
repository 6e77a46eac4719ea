import Glibc

/// What kind of file system a path is on.
enum MountTable {
    /// File systems that one machine has for itself, so that its locks and names are coherent.
    ///
    /// A list of what is known to be good: network and shared-disk file systems, FUSE, and whatever is new are not.
    static let localTypes: Set = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "overlay", "tmpfs", "ramfs",
    ]

    /// The type of the file system that holds `path`, `ext4` for instance; nil when the system does not tell.
    static func type(of path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        guard let table = content(of: "/proc/self/mountinfo") else { return nil }
        return type(of: String(cString: resolved), table: table)
    }

    /// As above, by a table in the format of `/proc/self/mountinfo`.
    static func type(of path: String, table: String) -> String? {
        var best: (length: Int, type: String)?
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 6, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
            let point = unescape(fields[4])
            let isAbove = point == "/" || path == point || path.hasPrefix(point + "/")
            // Of several on one point the last covers the others.
            if isAbove, point.utf8.count >= best?.length ?? 0 { best = (point.utf8.count, String(fields[dash + 1])) }
        }
        return best?.type
    }

    /// Blanks and backslashes stand as `\` and three octal digits.
    private static func unescape(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func content(of path: String) -> String? {
        do throws(SystemFailure) {
            let file = try OpenFile(path: path, O_RDONLY)
            var bytes: [UInt8] = []
            while true {
                let part = try file.read(64 << 10, at: Int64(bytes.count))
                if part.isEmpty { return String(decoding: bytes, as: UTF8.self) }
                bytes += part
            }
        } catch {
            return nil
        }
    }
}
