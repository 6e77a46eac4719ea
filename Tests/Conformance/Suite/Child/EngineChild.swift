import Foundation
public import T4Protocols

/// The other side of the rules that need a process of their own.
public enum EngineChild {
    /// Does what the suite wants and ends the process, where the suite has started this one as `ChildProgram`; returns
    /// at once otherwise.
    ///
    /// - Parameter open: Opens the engine under test in an existing directory.
    public static func runIfStarted(_ open: @escaping (EngineContext) throws -> any LocalEngine) {
        guard let text = ProcessInfo.processInfo.environment[ChildOrder.variable] else { return }
        do {
            let order = try JSONDecoder().decode(ChildOrder.self, from: Data(text.utf8))
            try run(order) { try open(.silent($0)) }
            exit(0)
        } catch {
            say(ChildLine(.broken, message: "\(error)"))
            exit(1)
        }
    }

    private static func run(_ order: ChildOrder, _ open: @escaping (String) throws -> any LocalEngine) throws {
        switch order {
        case .write(let directory, let workload): try write(open(directory), workload)
        case .load(let directory, let rows): try load(open(directory), rows)
        case .writeOneUnsynced(let directory, let workload, let count):
            try writeOneUnsynced(open(directory), workload, count)
        case .fill(let directory, let workload):
            try DiskFiller(directory: directory, workload: workload, open: open).run()
        case .inspect(let directories, let workload):
            for directory in directories { say(inspect(directory, workload, open)) }
        }
        say(ChildLine(.done))
    }

    private static func write(_ engine: any LocalEngine, _ workload: Workload) throws {
        var index = try engine.appliedPosition.index
        say(ChildLine(.opened, index))
        var batch = workload.batch(index + 1)
        while true {
            index += 1
            try engine.apply(batch, at: workload.position(index))
            // Made before the parent hears of this one, so that a kill that follows a line hits the engine at work.
            batch = workload.batch(index + 1)
            say(ChildLine(.applied, index))
            if index % 5 == 0 { say(ChildLine(.durable, try engine.durablePosition.index)) }
            if index % 16 == 0 {
                try engine.sync()
                say(ChildLine(.synced, index))
            }
        }
    }

    private static func load(_ engine: any LocalEngine, _ count: Int) throws {
        say(ChildLine(.opened))
        var rows = LoadRows(count: count) { index in
            if index % 1000 == 0 { say(ChildLine(.loading, UInt64(index))) }
        }
        try engine.bulkLoad(&rows, at: LoadRows.position)
        say(ChildLine(.synced, LoadRows.position.index))
        try engine.close()
    }

    private static func writeOneUnsynced(_ engine: any LocalEngine, _ workload: Workload, _ count: UInt64) throws {
        for index in 1...count { try workload.apply(index, to: engine) }
        try engine.sync()
        raise(SIGSTOP)
        try workload.apply(count + 1, to: engine)
        raise(SIGSTOP)
    }

    private static func inspect(
        _ directory: String, _ workload: Workload, _ open: (String) throws -> any LocalEngine
    ) -> ChildLine {
        do {
            let engine = try open(directory)
            let index = try workload.check(engine)
            try engine.close()
            return ChildLine(.whole, index)
        } catch let error as EngineError {
            return ChildLine(.refused, message: "\(error.code): \(error)")
        } catch {
            return ChildLine(.wrong, message: "\(error)")
        }
    }

    /// Writes a line in one call, so that a kill leaves no half of it.
    static func say(_ line: ChildLine) {
        var bytes = Array((line.text + "\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(1, $0.baseAddress, $0.count) }
            // Nobody listens any more: the suite was ended.
            if count < 0, errno != EINTR { exit(1) }
            bytes = bytes.dropFirst(max(count, 0))
        }
    }
}

/// Rows made up on the way, which tell how far a load has come.
struct LoadRows: SortedRows {
    static let position = LogPosition(term: 2, index: 77)

    let count: Int
    let visited: (Int) -> Void
    private var index = 0

    init(count: Int, visited: @escaping (Int) -> Void) {
        self.count = count
        self.visited = visited
    }

    static func row(_ index: Int) -> Row {
        Row(key: Array("row \(10_000_000 + index)".utf8), value: [UInt8](repeating: UInt8(index % 251), count: 200))
    }

    mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        guard index < count else { return false }
        let row = Self.row(index)
        visit(row.key.span.bytes, row.value.span.bytes)
        index += 1
        visited(index)
        return true
    }
}
