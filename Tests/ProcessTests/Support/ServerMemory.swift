import Foundation

/// What the system says of the memory of a process, in bytes.
struct ServerMemory {
    /// In memory now.
    var resident: Int
    /// The most there ever was.
    var peak: Int

    init(of process: ChildProcess) throws {
        let text = try String(contentsOfFile: "/proc/\(process.pid)/status", encoding: .utf8)
        func kibibytes(_ name: String) throws -> Int {
            let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            guard let number = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) }) else {
                throw ProcessFailure("no \(name) of process \(process.pid)")
            }
            return number * 1024
        }
        resident = try kibibytes("VmRSS")
        peak = try kibibytes("VmHWM")
    }
}
