import Foundation

/// Finds which process holds the other end of a TCP connection of 127.0.0.1, in Linux' /proc.
enum SocketOwners {
    /// The processes, of some, that hold the socket which is bound to `port` and connected to `remote`.
    static func owner<Name>(of port: UInt16, connectedTo remote: UInt16, among processes: [Name: pid_t]) -> Name? {
        guard let inode = inode(of: port, connectedTo: remote) else { return nil }
        let link = "socket:[\(inode)]"
        return processes.first { holds(link, $0.value) }?.key
    }

    private static func inode(of port: UInt16, connectedTo remote: UInt16) -> Substring? {
        guard let table = read("/proc/net/tcp") else { return nil }
        let (local, other) = (address(port), address(remote))
        for line in table.split(separator: "\n") {
            // sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
            let fields = line.split(separator: " ")
            if fields.count > 9, fields[1] == local, fields[2] == other { return fields[9] }
        }
        return nil
    }

    /// 127.0.0.1 as the kernel of a little-endian machine writes it.
    private static func address(_ port: UInt16) -> String {
        let digits = String(port, radix: 16, uppercase: true)
        return "0100007F:" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    private static func holds(_ link: String, _ process: pid_t) -> Bool {
        let folder = "/proc/\(process)/fd"
        guard let entries = opendir(folder) else { return false }
        defer { closedir(entries) }
        var target = [UInt8](repeating: 0, count: 64)
        while let entry = readdir(entries) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            let length = target.withUnsafeMutableBytes {
                readlink("\(folder)/\(name)", $0.bindMemory(to: CChar.self).baseAddress!, $0.count)
            }
            if length > 0, String(decoding: target[..<length], as: UTF8.self) == link { return true }
        }
        return false
    }

    private static func read(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var (text, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 64 << 10))
        while true {
            let count = Foundation.read(file, &buffer, buffer.count)
            guard count > 0 else { break }
            text += buffer[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }
}
