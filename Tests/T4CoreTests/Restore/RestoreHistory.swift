import T4Conformance
import T4Core
import T4Protocols

/// A made-up log, and what the state is after each of its entries, told without any engine.
struct RestoreHistory {
    /// The state after an entry.
    struct State {
        var position = LogPosition.zero
        var time: UInt64 = 0
        var revision = Revision.initial
        var compacted = Revision.none
        var current: [[UInt8]: StoredRecord] = [:]
        var leases: [Int64: Int64] = [:]
        var alarms: Set<Alarm> = []
        /// Rows about authentication, by name.
        var auth: [[UInt8]: [UInt8]] = [:]
        /// There ever were such.
        var hasAuth = false

        /// The current, leased and system rows that an engine has to hold, but for the one of `meta`.
        var rows: Set<EngineRow> {
            var rows: Set<EngineRow> = []
            for (key, record) in current {
                rows.insert(EngineRow(name: [1] + key, value: record.row))
                if record.lease != 0 { rows.insert(EngineRow(name: Keyspace.leasedKey(record.lease, key), value: [])) }
            }
            for (id, ttl) in leases {
                var value: [UInt8] = []
                value.append(bigEndian: ttl)
                rows.insert(EngineRow(name: SystemRow.lease(id), value: value))
            }
            for alarm in alarms { rows.insert(EngineRow(name: SystemRow.alarm(alarm), value: [])) }
            for (name, value) in auth { rows.insert(EngineRow(name: name, value: value)) }
            return rows
        }

        var meta: MetaRow {
            let sum = digest(of: Array(rows))
            return MetaRow(
                revision: revision, compacted: compacted, keys: sum.keys, digest: sum.digest, hasAuth: hasAuth)
        }
    }

    /// By index of the entry; the first is that before the first entry.
    private(set) var states = [State()]
    /// The entry of index 1 is the first.
    private(set) var entries: [LogEntry] = []
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    var last: State { states[states.count - 1] }

    /// The state after the last entry that makes the revision.
    func state(at revision: Revision) -> State? { states.dropFirst().first { $0.revision == revision } }

    /// The state after the last entry of that time or before.
    func state(atTime time: UInt64) -> State? { states.last { $0.time <= time } }

    /// The next entry.
    @discardableResult
    mutating func next() -> LogEntry {
        var state = last
        state.position.index += 1
        state.position.term = max(state.position.term, 1)
        // Entries of one batch have one time.
        state.time = 1_700_000_000_000_000_000 + state.position.index / 3 * 1_000_003
        var mutations: [Mutation] = []
        if Int.random(in: 0..<60, using: &random) == 0 {
            state.position.term += 1
        } else {
            mutations = makeMutations(state)
        }
        let isTerm = mutations.isEmpty
        let writes = mutations.contains { mutation in
            switch mutation {
            case .put, .delete: true
            default: false
            }
        }
        if writes { state.revision = state.revision.next }
        for mutation in mutations { apply(mutation, to: &state) }
        states.append(state)
        entries.append(
            LogEntry(
                position: state.position, time: state.time, revision: writes ? state.revision : .none,
                kind: isTerm ? .term : .mutations, body: isTerm ? [] : MutationCoding.encode(mutations)))
        return entries[entries.count - 1]
    }

    private func apply(_ mutation: Mutation, to state: inout State) {
        switch mutation {
        case .put(let key, let record): state.current[key] = record
        case .delete(let key, _): state.current[key] = nil
        case .grant(let lease): state.leases[lease.id] = lease.ttl
        case .revoke(let lease): state.leases[lease.id] = nil
        case .compact(let revision): state.compacted = max(state.compacted, revision)
        case .raise(let alarm): state.alarms.insert(alarm)
        case .disarm(let alarm): state.alarms.remove(alarm)
        case .auth(let change):
            state.auth[change.name] = change.new
            state.hasAuth = true
        }
    }

    private mutating func makeMutations(_ state: State) -> [Mutation] {
        switch Int.random(in: 0..<40, using: &random) {
        case 0 where state.revision > state.compacted:
            let lower = max(state.compacted.rawValue + 1, state.revision.rawValue - 100)
            return [.compact(Revision(Int64.random(in: lower...state.revision.rawValue, using: &random)))]
        case 1, 2:
            let id = Int64.random(in: 1...30, using: &random)
            if state.leases[id] == nil { return [.grant(LeaseRecord(id: id, ttl: id * 10))] }
            let keys = state.current.filter { $0.value.lease == id }.keys.sorted { $0.lexicographicallyPrecedes($1) }
            return keys.enumerated().map { .delete(key: $1, sub: UInt32($0)) } + [
                .revoke(LeaseRecord(id: id, ttl: id * 10))
            ]
        case 3:
            let alarm = Alarm(.noSpace, member: UInt64.random(in: 0...2, using: &random))
            return [state.alarms.contains(alarm) ? .disarm(alarm) : .raise(alarm)]
        case 4: return [makeAuthChange(state)]
        case 5...9:
            let keys = Set((0..<Int.random(in: 2...5, using: &random)).map { _ in makeKey() })
            return keys.sorted { $0.lexicographicallyPrecedes($1) }.enumerated().map { write($1, UInt32($0), state) }
        default: return [write(makeKey(), 0, state)]
        }
    }

    private mutating func makeAuthChange(_ state: State) -> Mutation {
        let name = [UInt8.random(in: 65...68, using: &random)]
        let number = UInt8.random(in: 0...255, using: &random)
        let row: AuthRow =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: .settings(isEnabled: number.isMultiple(of: 2), revision: UInt64(number))
            case 1: .user(AuthUser(name, password: [number], roles: [name]))
            case 2: .role(AuthRole(name, permissions: [AuthPermission(.readWrite, key: name, rangeEnd: [0])]))
            default:
                .token(AuthToken(hash: [UInt8](repeating: name[0], count: 32), user: name, expires: UInt64(number)))
            }
        let old = state.auth[row.name].flatMap { AuthRow(name: row.name, value: $0) }
        if let old, number < 100 { return .auth(AuthChange(removing: old)) }
        return .auth(AuthChange(from: old, to: row))
    }

    private mutating func makeKey() -> [UInt8] {
        [97] + (0..<Int.random(in: 1...3, using: &random)).map { _ in [0, 1, 5, 255].randomElement(using: &random)! }
    }

    private mutating func write(_ key: [UInt8], _ sub: UInt32, _ state: State) -> Mutation {
        let old = state.current[key]
        if old != nil, Int.random(in: 0..<3, using: &random) == 0 { return .delete(key: key, sub: sub) }
        let lease = Bool.random(using: &random) ? 0 : state.leases.keys.sorted().randomElement(using: &random) ?? 0
        let size = Int.random(in: 0...40, using: &random)
        return .put(
            key: key,
            record: StoredRecord(
                create: old?.create ?? state.revision.next, mod: state.revision.next, version: (old?.version ?? 0) + 1,
                lease: lease, sub: sub, value: (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }))
    }
}
