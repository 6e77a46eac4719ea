import Synchronization
public import T4Protocols

/// One kind of failure that a `FaultyStore` makes.
public struct StoreFault: Sendable {
    /// A call of `ObjectStore`.
    public enum Operation: Hashable, Sendable, CaseIterable {
        /// Reading an object.
        case get
        /// Asking for size and version.
        case info
        /// Writing an object.
        case put
        /// Listing names.
        case list
        /// Deleting objects.
        case delete
    }

    /// Whether the store below sees the call.
    public enum Moment: Hashable, Sendable {
        /// The call never reaches the store below.
        case beforeEffect
        /// The call is done by the store below, and its answer is lost.
        case afterEffect
    }

    /// Which of the matching calls fail.
    public enum Calls: Hashable, Sendable {
        /// One call, counted from 1.
        case nth(Int)
        /// That call, counted from 1, and all later ones.
        case from(Int)
        /// Each with this probability, by the seed of the store.
        case random(Double)
    }

    /// The call; nil for each.
    public var operation: Operation?
    /// What the name begins with; a delete matches when one of its names does, a list by its prefix.
    public var prefix: String
    /// Whether the store below sees the call.
    public var moment: Moment
    /// Which of the matching calls fail.
    public var calls: Calls
    /// What the caller is told.
    public var error: ObjectStoreError.Code

    /// Plans a failure; by default the first matching call is refused as `.unavailable`.
    public init(
        _ operation: Operation? = nil, prefix: String = "", _ moment: Moment = .beforeEffect, _ calls: Calls = .nth(1),
        error: ObjectStoreError.Code = .unavailable
    ) {
        self.operation = operation
        self.prefix = prefix
        self.moment = moment
        self.calls = calls
        self.error = error
    }
}

/// A store whose calls fail as planned, to test what stands above it. Without a plan it changes nothing.
public final class FaultyStore: ObjectStore {
    private struct State {
        var generator: SeededGenerator
        /// Matching calls of each fault so far.
        var counts: [Int]
        /// Calls that came in, failing ones too.
        var calls: [StoreFault.Operation: Int] = [:]
    }

    private let base: any ObjectStore
    private let faults: [StoreFault]
    private let state: Mutex<State>

    /// Plans failures; of several that match a call the first decides.
    /// - Parameter seed: Decides which calls fail where that is random.
    public init(_ base: any ObjectStore, faults: [StoreFault] = [], seed: UInt64 = 0) {
        self.base = base
        self.faults = faults
        state = Mutex(State(generator: SeededGenerator(seed: seed), counts: faults.map { _ in 0 }))
    }

    /// How many calls came in, failing ones too.
    public func callCount(_ operation: StoreFault.Operation) -> Int { state.withLock { $0.calls[operation] ?? 0 } }

    /// Those of the store below.
    public var capabilities: ObjectStoreCapabilities { base.capabilities }

    /// Reads, or fails as planned.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try await run(.get, [key]) { () throws(ObjectStoreError) in try await base.get(key, bytes: bytes) }
    }

    /// Asks, or fails as planned.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try await run(.info, [key]) { () throws(ObjectStoreError) in try await base.info(key) }
    }

    /// Writes, or fails as planned.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await run(.put, [key]) { () throws(ObjectStoreError) in try await base.put(key, payload, when: condition) }
    }

    /// Lists, or fails as planned.
    public func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try await run(.list, [prefix]) { () throws(ObjectStoreError) in
            try await base.list(prefix: prefix, after: after, limit: limit)
        }
    }

    /// Deletes, or fails as planned.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        try await run(.delete, keys) { () throws(ObjectStoreError) in try await base.delete(keys) }
    }

    /// Closes the store below.
    public func close() async { await base.close() }

    private func run<Result>(
        _ operation: StoreFault.Operation, _ keys: [ObjectKey],
        _ work: () async throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        guard let fault = nextFault(operation, keys) else { return try await work() }
        if fault.moment == .afterEffect { _ = try await work() }
        throw ObjectStoreError(fault.error, "\(keys.first?.rawValue ?? ""): a planned failure of \(operation)")
    }

    private func nextFault(_ operation: StoreFault.Operation, _ keys: [ObjectKey]) -> StoreFault? {
        state.withLock { state in
            state.calls[operation, default: 0] += 1
            var chosen: StoreFault?
            for (index, fault) in faults.enumerated() where fault.matches(operation, keys) {
                state.counts[index] += 1
                let fails =
                    switch fault.calls {
                    case .nth(let number): state.counts[index] == number
                    case .from(let number): state.counts[index] >= number
                    case .random(let probability): Double.random(in: 0..<1, using: &state.generator) < probability
                    }
                if fails, chosen == nil { chosen = fault }
            }
            return chosen
        }
    }
}

extension StoreFault {
    fileprivate func matches(_ operation: Operation, _ keys: [ObjectKey]) -> Bool {
        if let wanted = self.operation, wanted != operation { return false }
        return prefix.isEmpty || keys.contains { $0.rawValue.utf8.starts(with: prefix.utf8) }
    }
}
