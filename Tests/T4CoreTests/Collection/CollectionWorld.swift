import Logging
import T4Protocols

@testable import T4Core

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// What must not be lost was lost.
struct Loss: Error, CustomStringConvertible {
    var description: String
}

/// A collection, or somebody beside it, took for damage what is none.
struct Confusion: Error, CustomStringConvertible {
    var description: String
}

/// Checks after each step that nothing that somebody relies on is gone.
final class CollectionWatcher {
    private let script: CollectionScript
    private let storage: SteppedStorage
    /// Checkpoints that collections of this world keep, at least.
    private let keep: Int
    /// Objects of the log that may be there instead of several ones: their entries, their bytes.
    private let joined: [(range: ClosedRange<Int>, bytes: [UInt8])]
    /// What was the newest checkpoint, oldest first.
    private var heads: [String] = []
    /// Manifests by the versions of their objects.
    private var files: [UInt64: ManifestFile] = [:]
    private var headBytes: [UInt8] = []
    /// Pins that somebody relies on.
    let pinned = Monitor<[String: Pin]>([:])
    /// What the last check saw: as long as nothing changes there is nothing to check.
    private var seen: (changeCount: Int, pins: [String])?

    init(
        _ script: CollectionScript, _ storage: SteppedStorage, keep: Int, heads: [String],
        joins: [ClosedRange<Int>] = []
    ) {
        self.script = script
        self.storage = storage
        self.keep = keep
        self.heads = heads
        joined = joins.map { ($0, script.joined($0)) }
    }

    func check() throws {
        let now = (storage.changeCount, pinned.withLock { $0.keys.sorted() })
        if let seen, seen == now { return }
        seen = now
        let objects = storage.objects
        guard let head = objects["manifest/latest"] else { throw Loss(description: "the head is gone") }
        if head.bytes != headBytes {
            headBytes = head.bytes
            let name = try Head.decode(head.bytes, key: StoreLayout.head).checkpoint
            if heads.last != name { heads.append(name) }
        }
        let newest = heads.suffix(keep)
        for name in newest { _ = try checkpoint(name, objects, "one of the newest") }
        for name in heads where objects[name] != nil { _ = try checkpoint(name, objects, "there") }
        var logStart = try checkpoint(newest.first!, objects, "").checkpoint.index
        for pin in pinned.withLock({ $0.values.map { $0 } }) {
            let file = try checkpoint(pin.checkpoint, objects, "pinned")
            guard file.id == pin.checkpointID else { throw Loss(description: "\(pin.checkpoint) is another one") }
            if pin.keepsLog { logStart = min(logStart, pin.index) }
        }
        let fences = Set(CollectionScript.termStarts.map { UInt64($0.first) })
        for (first, bytes) in script.objects where first > logStart || fences.contains(first) {
            let isThere = objects[StoreLayout.log(firstIndex: first).rawValue]?.bytes == bytes
            let isJoined = joined.contains { joined in
                let name = StoreLayout.log(firstIndex: UInt64(joined.range.lowerBound)).rawValue
                return joined.range.contains(Int(first)) && objects[name]?.bytes == joined.bytes
            }
            guard isThere || isJoined else {
                throw Loss(description: "the log at \(first) is gone, which is needed from \(logStart)")
            }
        }
    }

    private func checkpoint(
        _ name: String, _ objects: [String: SteppedStorage.Object], _ why: String
    ) throws -> ManifestFile {
        guard let object = objects[name] else { throw Loss(description: "\(name), \(why), is gone") }
        let file: ManifestFile
        if let known = files[object.version] {
            file = known
        } else {
            file = try ManifestFile.decode(object.bytes, key: ObjectKey(name))
            files[object.version] = file
        }
        for place in file.envelope.places.values where objects[place.key] == nil {
            throw Loss(description: "\(place.key) of \(name), \(why), is gone")
        }
        return file
    }

    /// After a last collection only what is needed is left.
    func checkThatNothingIsLeftOver() throws {
        _ = try script.collector(SteppedStore(storage), keep: keep).collect()
        try check()
        let objects = storage.objects
        let pinned = pinned.withLock { Set($0.values.map(\.checkpoint)) }
        let head = try Head.decode(headBytes, key: StoreLayout.head)
        let manifests = try objects.filter { $0.key.hasPrefix("checkpoint/") }.map { name, object in
            (name, try ManifestFile.decode(object.bytes, key: ObjectKey(name)))
        }
        // Newer ones might still become the newest.
        let kept = Set(heads.suffix(keep)).union(pinned)
            .union(manifests.filter { $0.1.checkpoint.index > head.index }.map(\.0))
        guard Set(manifests.map(\.0)) == kept else {
            throw Loss(description: "left over: \(kept.symmetricDifference(manifests.map(\.0)).sorted())")
        }
        let used = manifests.reduce(into: Set<String>()) { $0.formUnion($1.1.envelope.places.values.map(\.key)) }
        let tables = Set(objects.keys.filter { $0.hasPrefix("sst/") })
        guard tables.isSubset(of: used) else {
            throw Loss(description: "left over: \(tables.subtracting(used).sorted())")
        }
        let lists = objects.keys.filter { $0.hasPrefix("gc/condemned/") }
        guard lists.isEmpty else { throw Loss(description: "left over: \(lists)") }
    }
}

/// What runs beside a collection.
enum CollectionActor: Hashable, Sendable {
    /// Writes the checkpoint of that number.
    case writer(Int)
    /// Pins the checkpoint of that number for good.
    case forker(Int, keepsLog: Bool)
    /// Reads the newest checkpoint under a pin.
    case restorer
    case collector(keep: Int)
    /// Joins the objects of the log with those entries.
    case merger(ClosedRange<Int>)

    enum Role: Hashable, Sendable { case writer, forker, collector, merger }

    var role: Role {
        switch self {
        case .writer: .writer
        case .forker, .restorer: .forker
        case .collector: .collector
        case .merger: .merger
        }
    }
}

/// A world of some actors, and the orders in which they may act.
struct CollectionScenario: Sendable {
    var actors: [CollectionActor]
    /// True when a collection died during its sweep before they begin.
    var beginsUnswept = false
    /// Stands between an actor and its store.
    var tamper: (@Sendable (CollectionActor.Role, any ObjectStore) -> any ObjectStore)?

    /// A decision about one step.
    enum Step: Hashable, Sendable {
        case actor(Int, SteppedTurn)
        case land(Int)
    }

    enum SteppedTurn: Hashable, Sendable { case proceed, loseAnswer, late }

    /// What could be chosen at a step, and what was.
    struct Moment {
        var standing: [Int]
        var chosen: Int
    }

    private var joins: [ClosedRange<Int>] {
        actors.compactMap { actor in
            if case .merger(let range) = actor { range } else { nil }
        }
    }

    private var keep: Int {
        if beginsUnswept { return 1 }
        let keeps = actors.compactMap { actor in
            if case .collector(let keep) = actor { keep } else { nil }
        }
        return keeps.min() ?? 1
    }

    /// Runs once.
    /// - Parameter choose: Given the number of the step, who stands before which call and how many late effects there are;
    ///   nil ends the run, and everybody dies.
    func run(
        _ script: CollectionScript, _ initial: CollectionInitial,
        choose: (Int, [Int: SteppedStorage.Call], Int) -> Step?
    ) throws {
        let storage = SteppedStorage(initial.objects, version: initial.version)
        let watcher = CollectionWatcher(script, storage, keep: keep, heads: initial.heads, joins: joins)
        let problems = Monitor<[any Error & Sendable]>([])
        let pinned = watcher.pinned
        let bodies = actors.enumerated().map { number, actor -> @Sendable () -> Void in
            let stepped = SteppedStore(storage, number)
            let store = tamper?(actor.role, stepped) ?? stepped
            return {
                actor.run(script, store, number, initial, pinned) { problem in problems.withLock { $0.append(problem) }
                }
            }
        }
        try watcher.check()
        let threads = storage.start(bodies)
        var outcome: Result<Void, any Error> = .success(())
        var step = 0
        // Whoever lost an answer may have left something behind without knowing.
        var hasLoss = false
        var isExact = false
        while case .success = outcome {
            let standing = storage.standing()
            outcome = Result {
                try watcher.check()
                if let problem = problems.withLock({ $0.first }), tamper == nil || problem is Loss { throw problem }
            }
            isExact = standing.isEmpty && !hasLoss
            guard case .success = outcome, let choice = choose(step, standing, storage.lateCount)
            else { break }
            switch choice {
            case .actor(let number, let turn):
                if turn != .proceed { hasLoss = true }
                storage.go(number, turn.storage)
            case .land(let number): storage.land(number)
            }
            step += 1
        }
        while case let standing = storage.standing(), !standing.isEmpty {
            for number in standing.keys { storage.go(number, .stop) }
        }
        for thread in threads { thread.join() }
        try outcome.get()
        guard isExact, tamper == nil else { return }
        let end = SteppedStorage(storage.objects, version: storage.version)
        let last = CollectionWatcher(script, end, keep: keep, heads: initial.heads, joins: joins)
        last.adopt(watcher)
        try last.checkThatNothingIsLeftOver()
    }
}

extension CollectionWatcher {
    fileprivate func adopt(_ other: CollectionWatcher) {
        heads = other.heads
        headBytes = other.headBytes
        let pins = other.pinned.withLock { $0 }
        pinned.withLock { $0 = pins }
    }
}

extension CollectionScenario.SteppedTurn {
    fileprivate var storage: SteppedStorage.Turn {
        switch self {
        case .proceed: .proceed
        case .loseAnswer: .loseAnswer
        case .late: .late
        }
    }
}

/// Where a scenario begins.
struct CollectionInitial: Sendable {
    var objects: [String: SteppedStorage.Object]
    var version: UInt64
    /// Names of the checkpoints, oldest first.
    var heads: [String]
}

extension CollectionActor {
    fileprivate func run(
        _ script: CollectionScript, _ store: any ObjectStore, _ number: Int, _ initial: CollectionInitial,
        _ pinned: Monitor<[String: Pin]>, report: (any Error & Sendable) -> Void
    ) {
        do {
            switch self {
            case .writer(let checkpoint): try script.write(checkpoint, on: store)
            case .merger(let range): try script.join(range, initial, on: store)
            case .collector(let keep): _ = try script.collector(store, keep: keep).collect()
            case .forker(let checkpoint, let keepsLog):
                let key = ObjectKey(initial.heads[checkpoint])
                let pin = try script.pins(store).add(
                    .branch, id: "fork-\(number)", checkpoint: key, keepsLog: keepsLog, at: 5)
                pinned.withLock { $0["\(number)"] = pin.pin }
            case .restorer:
                let checkpoints = script.checkpoints(store)
                guard let head = try checkpoints.head()?.head else { return }
                let pins = script.pins(store)
                let (pin, file) = try pins.add(
                    .reader, id: "reader-\(number)", checkpoint: ObjectKey(head.checkpoint), keepsLog: true, at: 5)
                pinned.withLock { $0["\(number)"] = pin }
                for table in file.checkpoint.tables {
                    do {
                        _ = try checkpoints.fetch(table, of: file).wait()
                    } catch let error as ObjectStoreError where error.code == .notFound {
                        report(Loss(description: "a reader lost a table: \(error)"))
                    }
                }
                pinned.withLock { $0["\(number)"] = nil }
                try pins.remove(.reader, id: "reader-\(number)")
            }
        } catch let error as ObjectStoreError {
            if error.code == .corrupted { report(Confusion(description: "\(error)")) }
        } catch let error as CheckpointError {
            if error.code == .corrupted { report(Confusion(description: "\(error)")) }
        } catch {
            report(Confusion(description: "\(error)"))
        }
    }
}

/// One actor goes on until it stands before a certain call, or to its end.
struct CollectionTurn: Sendable {
    let actor: Int
    private let kind: SteppedStorage.Call.Kind?
    private let prefix: String
    /// The actor stops when it comes to such a call for this time.
    let times: Int

    init(_ actor: Int) { (self.actor, kind, prefix, times) = (actor, nil, "", 1) }

    init(_ actor: Int, before kind: SteppedStorage.Call.Kind, _ prefix: String, times: Int = 1) {
        (self.actor, self.kind, self.prefix, self.times) = (actor, kind, prefix, times)
    }

    func isEnd(_ call: SteppedStorage.Call) -> Bool { call.kind == kind && call.name.hasPrefix(prefix) }
}
