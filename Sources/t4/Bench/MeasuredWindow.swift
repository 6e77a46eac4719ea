import FoundationEssentials
import Glibc

/// The clocks of a benchmark.
enum BenchClock {
    /// Nanoseconds on a clock that is never set.
    @inline(__always)
    static func now() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// CPU time of this process in nanoseconds.
    static func ownCPU() -> UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    @inline(__always)
    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}

/// Another process whose CPU time is read from `/proc`.
struct WatchedProcess {
    var pid: Int32

    /// CPU time in nanoseconds, in steps of 10 ms; threads that have ended count too.
    /// - Throws: `CommandFailure` if there is no such process.
    func cpu() throws -> UInt64 {
        let file = "/proc/\(pid)/stat"
        guard let bytes = FileManager.default.contents(atPath: file) else {
            throw CommandFailure(description: "cannot read \(file): is the server's process id \(pid)?")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        // The second field is the program's name in parentheses and may hold anything; the third follows the last one.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 13, let user = UInt64(fields[12]), let system = UInt64(fields[13]) else {
            throw CommandFailure(description: "\(file) is not what it was expected to be")
        }
        return (user + system) * (1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK))))
    }
}

/// The time in which operations count: after the warm-up, for as long as asked, with the CPU time spent meanwhile.
///
/// It lasts until one has counted, however slow the machine is.
struct MeasuredWindow {
    enum Phase { case warmUp, measuring, over }

    private(set) var phase = Phase.warmUp
    /// Why the server's CPU time is not known although it was asked for.
    private(set) var failure: (any Error)?
    private var isEmpty = true
    private var isEnding = false
    private let server: WatchedProcess?
    private let whenOpen: @Sendable () -> Void
    private let opensAt: UInt64
    private let duration: UInt64
    private var opened = Sample()
    private var closed = Sample()

    private struct Sample {
        var time: UInt64 = 0
        var ownCPU: UInt64 = 0
        var serverCPU: UInt64 = 0
    }

    /// - Parameters:
    ///   - now: When the work begins.
    ///   - warmUp: Nanoseconds until operations count.
    ///   - duration: Nanoseconds that count; nil: until `close`.
    ///   - whenOpen: Called when operations begin to count.
    init(
        now: UInt64, warmUp: UInt64, duration: UInt64?, server: WatchedProcess?,
        whenOpen: @escaping @Sendable () -> Void = {}
    ) {
        self.server = server
        self.whenOpen = whenOpen
        self.duration = duration ?? .max
        opensAt = now + warmUp
        if warmUp == 0 { open(now) }
    }

    var seconds: Double { Double(closed.time - opened.time) / 1e9 }
    var ownCPU: UInt64 { closed.ownCPU - opened.ownCPU }
    var serverCPU: UInt64? { server == nil ? nil : closed.serverCPU - opened.serverCPU }

    /// The phase that the time lies in; the first call in a new one takes the samples.
    @inline(__always)
    mutating func phase(at now: UInt64) -> Phase {
        switch phase {
        case .warmUp: if now >= opensAt { open(now) }
        case .measuring: if !isEmpty, isEnding || now &- opened.time >= duration { close(now) }
        case .over: break
        }
        return phase
    }

    /// An operation counts.
    @inline(__always)
    mutating func count() { isEmpty = false }

    /// Ends the window as soon as an operation has counted.
    mutating func end(_ now: UInt64) {
        isEnding = true
        if !isEmpty { close(now) }
    }

    /// Ends the window if it is not over.
    mutating func close(_ now: UInt64) {
        if phase == .warmUp { open(now) }
        guard phase == .measuring else { return }
        phase = .over
        closed = sample(now)
    }

    private mutating func open(_ now: UInt64) {
        phase = .measuring
        opened = sample(now)
        whenOpen()
    }

    private mutating func sample(_ now: UInt64) -> Sample {
        var serverCPU: UInt64 = 0
        do {
            serverCPU = try server?.cpu() ?? 0
        } catch {
            failure = failure ?? error
        }
        return Sample(time: now, ownCPU: BenchClock.ownCPU(), serverCPU: serverCPU)
    }
}
