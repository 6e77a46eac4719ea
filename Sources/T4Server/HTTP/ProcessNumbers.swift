import Glibc

/// What the system tells about this process.
struct ProcessNumbers {
    private(set) var cpuSeconds: Double?
    private(set) var residentBytes: Int?
    private(set) var virtualBytes: Int?
    private(set) var startTime: Double?
    private(set) var openDescriptors: Int?
    private(set) var descriptorsMax: Int?

    /// Reads them from `/proc`; what cannot be read stays nil.
    init() {
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            descriptorsMax = Int(clamping: UInt64(limit.rlim_cur))
        }
        openDescriptors = Self.countEntries("/proc/self/fd")
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        let pageSize = sysconf(Int32(_SC_PAGESIZE))
        guard let stat = Self.read("/proc/self/stat"), let nameEnd = stat.lastIndex(of: ")"), ticks > 0 else { return }
        // The third field of the file, the state, is the first here.
        let fields = stat[stat.index(after: nameEnd)...].split(separator: " ")
        guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
            let start = Double(fields[19]), let size = Int(fields[20]), let pages = Int(fields[21])
        else { return }
        cpuSeconds = (user + system) / ticks
        virtualBytes = size
        residentBytes = pages * pageSize
        let line = Self.read("/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }
        if let boot = line.flatMap({ Double($0.dropFirst("btime ".count)) }) { startTime = boot + start / ticks }
    }

    private static func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    private static func countEntries(_ path: String) -> Int? {
        guard let folder = opendir(path) else { return nil }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        // One is the folder itself.
        return count - 1
    }
}
