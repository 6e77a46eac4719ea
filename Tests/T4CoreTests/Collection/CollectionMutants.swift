import T4Protocols

@testable import T4Core

/// A rule of collections that is broken: by a store that makes one of the actors do what it must not.
enum CollectionMutant: String, CaseIterable, Sendable {
    case writersReadTheEpochOnce
    case writersSwapTheHeadBlindly
    case writersReplaceManifests
    case forkersDoNotAskWhatIsCondemned
    case forkersPinLast
    case collectorsDoNotRaiseTheEpoch
    case collectorsDoNotLookAgain
    case collectorsSwapBlindly
    case collectorsDoNotAnnounceTheSweep
    case collectorsForgetWhatWasCondemned
    case collectorsDoNotSeeWhatIsNewerThanTheHead
    case collectorsDeleteTablesFirst
    case collectorsDeleteFences
    case mergersJoinAcrossACheckpoint

    /// Where it does harm.
    var scenario: CollectionScenario {
        CollectionScenario(actors: actors) { role, store in
            role == self.role ? MutantStore(store, self) : store
        }
    }

    /// Actors who would do no harm.
    var soundActors: [CollectionActor] {
        self == .mergersJoinAcrossACheckpoint ? [.collector(keep: 1), .merger(31...50)] : actors
    }

    private var actors: [CollectionActor] {
        switch self {
        case .writersReadTheEpochOnce, .collectorsDoNotRaiseTheEpoch, .collectorsDoNotSeeWhatIsNewerThanTheHead:
            [.writer(2), .collector(keep: 1)]
        case .writersSwapTheHeadBlindly: [.writer(2), .writer(3), .collector(keep: 1)]
        case .writersReplaceManifests: [.writer(2), .collector(keep: 1), .writer(2)]
        case .forkersDoNotAskWhatIsCondemned, .forkersPinLast, .collectorsDoNotLookAgain:
            [.collector(keep: 1), .forker(0, keepsLog: false)]
        case .collectorsSwapBlindly, .collectorsDoNotAnnounceTheSweep:
            [.collector(keep: 1), .collector(keep: 1), .forker(0, keepsLog: false)]
        case .collectorsForgetWhatWasCondemned:
            [.collector(keep: 1), .collector(keep: 2), .forker(0, keepsLog: false)]
        case .collectorsDeleteTablesFirst, .collectorsDeleteFences: [.collector(keep: 1)]
        case .mergersJoinAcrossACheckpoint: [.collector(keep: 1), .merger(41...54)]
        }
    }

    /// The order in which it does harm there, and the rule none.
    var turns: [CollectionTurn] {
        switch self {
        // The tables are there, and nothing names them yet.
        case .writersReadTheEpochOnce, .collectorsDoNotRaiseTheEpoch:
            [.init(0, before: .put, "checkpoint/"), .init(1), .init(0)]
        // The manifest is there, and the head does not name it yet.
        case .collectorsDoNotSeeWhatIsNewerThanTheHead: [.init(0, before: .put, "manifest/latest"), .init(1), .init(0)]
        // The other one's checkpoint is newer, so that the collection removes this one.
        case .writersSwapTheHeadBlindly: [.init(0, before: .put, "manifest/latest"), .init(1), .init(2), .init(0)]
        // The same checkpoint is written twice, the second time in tables of a new epoch.
        case .writersReplaceManifests: [.init(0, before: .put, "checkpoint/"), .init(1), .init(2), .init(0)]
        // The collection has looked for pins for the last time.
        case .forkersDoNotAskWhatIsCondemned: [.init(0, before: .delete, "checkpoint/"), .init(1), .init(0)]
        // It has looked for the first time, and says next what is condemned.
        case .collectorsDoNotLookAgain: [.init(0, before: .put, "gc/state", times: 2), .init(1), .init(0)]
        // The fork finds nothing condemned, then the collection looks for pins, then there is one.
        case .forkersPinLast:
            [.init(1, before: .put, "branches/"), .init(0, before: .delete, "checkpoint/"), .init(1), .init(0)]
        // A second collection begins after the last look of the first one, and has condemned nothing yet.
        case .collectorsSwapBlindly:
            [
                .init(0, before: .put, "gc/state", times: 3), .init(1, before: .read, "manifest/latest"), .init(2),
                .init(0),
            ]
        case .collectorsDoNotAnnounceTheSweep, .collectorsForgetWhatWasCondemned:
            [.init(0, before: .delete, "checkpoint/"), .init(1, before: .read, "manifest/latest"), .init(2), .init(0)]
        // The list is written, and says up to which name the log goes.
        case .mergersJoinAcrossACheckpoint: [.init(0, before: .delete, "wal/"), .init(1), .init(0)]
        case .collectorsDeleteTablesFirst, .collectorsDeleteFences: []
        }
    }

    private var role: CollectionActor.Role {
        switch self {
        case .writersReadTheEpochOnce, .writersSwapTheHeadBlindly, .writersReplaceManifests: .writer
        case .forkersDoNotAskWhatIsCondemned, .forkersPinLast: .forker
        case .mergersJoinAcrossACheckpoint: .merger
        default: .collector
        }
    }
}

/// A store as an actor that breaks the rule sees it.
private final class MutantStore: ObjectStore {
    private struct State {
        /// The first answer to each question.
        var first: [String: StoredBytes] = [:]
        var pages: [String: ListPage] = [:]
        var postponed: [ObjectKey] = []
        var pin: (ObjectKey, Payload)?
        var epoch: UInt64?
        var looksAgain = false
        var head: UInt64?
    }

    private let base: any ObjectStore
    private let mutant: CollectionMutant
    private let state = Monitor(State())

    init(_ base: any ObjectStore, _ mutant: CollectionMutant) {
        self.base = base
        self.mutant = mutant
    }

    var capabilities: ObjectStoreCapabilities { base.capabilities }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        switch (mutant, key) {
        case (.forkersDoNotAskWhatIsCondemned, StoreLayout.collectionState):
            throw ObjectStoreError(.notFound, "nothing is condemned")
        case (.writersReadTheEpochOnce, StoreLayout.collectionState): return try await answerOnce(key)
        case (.collectorsDoNotLookAgain, StoreLayout.head) where state.withLock({ $0.looksAgain }):
            return try await answerOnce(key)
        case (.collectorsForgetWhatWasCondemned, StoreLayout.collectionState):
            var stored = try await base.get(key, bytes: nil)
            stored.bytes = rewritten(stored.bytes) { ($0.floor.index, $0.floor.kept) = (0, []) }
            return stored
        case (.forkersPinLast, StoreLayout.head):
            if let (key, payload) = state.withLock({ $0.pin }) { _ = try await base.put(key, payload, when: .absent) }
            return try await base.get(key, bytes: bytes)
        default:
            let stored = try await base.get(key, bytes: bytes)
            if bytes == nil { state.withLock { $0.first[key.rawValue] = $0.first[key.rawValue] ?? stored } }
            return stored
        }
    }

    private func answerOnce(_ key: ObjectKey) async throws(ObjectStoreError) -> StoredBytes {
        if let known = state.withLock({ $0.first[key.rawValue] }) {
            if known.info.size == 0 { throw ObjectStoreError(.notFound, "\(key): as before") }
            return known
        }
        do throws(ObjectStoreError) {
            let stored = try await base.get(key, bytes: nil)
            state.withLock { $0.first[key.rawValue] = stored }
            return stored
        } catch {
            let nothing = StoredBytes(
                bytes: [], info: ObjectInfo(key: key, size: 0, version: ObjectVersion("")))
            if error.code == .notFound { state.withLock { $0.first[key.rawValue] = nothing } }
            throw error
        }
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo { try await base.info(key) }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        switch mutant {
        case .writersSwapTheHeadBlindly where key == StoreLayout.head,
            .writersReplaceManifests where StoreLayout.isCheckpoint(key),
            .collectorsSwapBlindly where key == StoreLayout.collectionState:
            return try await base.put(key, payload, when: .always)
        case .forkersPinLast where key.rawValue.hasPrefix("branches/"):
            state.withLock { $0.pin = (key, payload) }
            return ObjectVersion("")
        case .collectorsDoNotRaiseTheEpoch where key == StoreLayout.collectionState:
            guard case .bytes(let bytes) = payload else { break }
            return try await base.put(key, .bytes(rewritten(bytes) { $0.epoch = 0 }), when: condition)
        case .collectorsDoNotLookAgain where key == StoreLayout.collectionState:
            if phase(payload) == .condemned { state.withLock { $0.looksAgain = true } }
        case .collectorsDoNotAnnounceTheSweep where key == StoreLayout.collectionState && phase(payload) == .sweeping:
            return ObjectVersion("")
        case .collectorsDeleteTablesFirst where key == StoreLayout.collectionState && phase(payload) == .idle:
            try await base.delete(state.withLock { $0.postponed })
        default: break
        }
        return try await base.put(key, payload, when: condition)
    }

    private func phase(_ payload: Payload) -> CollectionState.Phase? {
        guard case .bytes(let bytes) = payload else { return nil }
        var phase: CollectionState.Phase?
        _ = rewritten(bytes) { phase = $0.phase }
        return phase
    }

    private func rewritten(_ bytes: [UInt8], _ change: (inout CollectionState) -> Void) -> [UInt8] {
        do {
            var state = try CollectionState.decode(bytes, key: StoreLayout.collectionState)
            change(&state)
            return try state.encoded()
        } catch {
            fatalError("a state cannot be rewritten: \(error)")
        }
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        if mutant == .collectorsDoNotLookAgain, state.withLock({ $0.looksAgain }),
            let known = state.withLock({ $0.pages[prefix.rawValue] })
        {
            return known
        }
        var page = try await base.list(prefix: prefix, after: after, limit: limit)
        if mutant == .collectorsDoNotSeeWhatIsNewerThanTheHead, prefix == StoreLayout.checkpoints,
            let head = state.withLock({ $0.first[StoreLayout.head.rawValue] })
        {
            do {
                let name = try Head.decode(head.bytes, key: StoreLayout.head).checkpoint
                page.objects.removeAll { ObjectKey(name) < $0.key }
            } catch {
                fatalError("the head cannot be read: \(error)")
            }
        }
        let seen = page
        state.withLock { $0.pages[prefix.rawValue] = $0.pages[prefix.rawValue] ?? seen }
        return page
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        var keys = keys
        if mutant == .collectorsDeleteTablesFirst, keys.contains(where: StoreLayout.isCheckpoint) {
            state.withLock { [keys] in $0.postponed += keys }
            return
        }
        if mutant == .collectorsDeleteFences, let last = keys.compactMap(StoreLayout.firstIndex).max() {
            keys += CollectionScript.termStarts.map { UInt64($0.first) }.filter { $0 <= last }
                .map { StoreLayout.log(firstIndex: $0) }
        }
        try await base.delete(keys)
    }

    func close() async { await base.close() }
}
