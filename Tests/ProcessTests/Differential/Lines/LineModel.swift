/// What is due in lines: how many changes, and what each open call must have got, so that nothing needs to wait for time to
/// pass. It does as etcd's client library does (client/v3/concurrency).
struct LineModel: Sendable {
    struct Row: Sendable {
        var created: Int64
        var lease: Int64
        var value: String
    }

    /// A call that waits for its turn.
    struct Waiter: Sendable {
        let prefix: String
        let key: String
        let created: Int64
    }

    private struct Observer: Sendable {
        let prefix: String
        /// The leader's; nil while nobody leads.
        var key: String?
    }

    /// What a call must have got.
    struct Due: Sendable {
        var messages = 0
        var isOver = false
        /// Its key is not the one that it waited with.
        var isLost = false
    }

    private(set) var revision: Int64 = 1
    /// Changes so far.
    private(set) var events = 0
    private(set) var rows: [String: Row] = [:]
    private var leases: Set<Int64> = []
    private var waiters: [Int: Waiter] = [:]
    private var observers: [Int: Observer] = [:]
    /// By the numbers of open calls.
    private(set) var due: [Int: Due] = [:]

    /// Watches that the server keeps for calls.
    var watchCount: Int { waiters.count + observers.count }

    // MARK: Keys

    mutating func grant(_ lease: Int64) { leases.insert(lease) }

    mutating func revoke(_ lease: Int64) {
        guard leases.remove(lease) != nil else { return }
        delete { $1.lease == lease }
    }

    mutating func delete(_ isWanted: (String, Row) -> Bool) {
        let gone = rows.filter { isWanted($0.key, $0.value) }
        guard !gone.isEmpty else { return }
        revision += 1
        events += gone.count
        for key in gone.keys { rows[key] = nil }
        for (call, observer) in observers where observer.key.map({ gone[$0] != nil }) == true {
            follow(call, observer.prefix)
        }
        for (call, waiter) in waiters where isFirst(waiter) { end(call, waiter) }
    }

    private mutating func put(_ key: String, _ value: String, lease: Int64) {
        revision += 1
        events += 1
        rows[key] = Row(created: rows[key]?.created ?? revision, lease: lease, value: value)
        for (call, observer) in observers
        where observer.key == key || observer.key == nil && key.hasPrefix(observer.prefix) {
            observers[call]?.key = key
            due[call]?.messages += 1
        }
    }

    // MARK: Calls

    mutating func lock(_ call: Int, _ name: String, lease: Int64) { join(call, name, lease: lease, value: nil) }

    mutating func campaign(_ call: Int, _ name: String, lease: Int64, value: String) {
        join(call, name, lease: lease, value: value)
    }

    /// - Parameter value: Nil for a lock.
    private mutating func join(_ call: Int, _ name: String, lease: Int64, value: String?) {
        due[call] = Due()
        let prefix = name + "/"
        let key = prefix + String(lease, radix: 16)
        if let row = rows[key] {
            if let value, row.value != value { put(key, value, lease: lease) }
        } else {
            guard leases.contains(lease) else {
                due[call]?.isOver = true
                return
            }
            put(key, value ?? "", lease: lease)
        }
        let waiter = Waiter(prefix: prefix, key: key, created: rows[key]?.created ?? 0)
        if isFirst(waiter) { end(call, waiter) } else { waiters[call] = waiter }
    }

    private func isFirst(_ waiter: Waiter) -> Bool {
        !rows.contains { $0.key.hasPrefix(waiter.prefix) && $0.value.created < waiter.created }
    }

    private mutating func end(_ call: Int, _ waiter: Waiter) {
        waiters[call] = nil
        due[call]?.isOver = true
        due[call]?.isLost = rows[waiter.key]?.created != waiter.created
    }

    mutating func proclaim(_ key: String, created: Int64, value: String, lease: Int64) {
        guard rows[key]?.created == created, leases.contains(lease) else { return }
        put(key, value, lease: lease)
    }

    mutating func resign(_ key: String, created: Int64) { delete { $0 == key && $1.created == created } }

    mutating func observe(_ call: Int, _ name: String) {
        due[call] = Due()
        observers[call] = Observer(prefix: name + "/")
        follow(call, name + "/")
    }

    private mutating func follow(_ call: Int, _ prefix: String) {
        let first = rows.filter { $0.key.hasPrefix(prefix) }.min { $0.value.created < $1.value.created }
        observers[call]?.key = first?.key
        if first != nil { due[call]?.messages += 1 }
    }

    /// The client gives up: the place is given up with it, if it has one.
    /// - Returns: The waiter it was; nil for an observer or a call that is over.
    mutating func cancel(_ call: Int) -> Waiter? {
        due[call] = nil
        observers[call] = nil
        guard let waiter = waiters.removeValue(forKey: call) else { return nil }
        delete { $0 == waiter.key && $1.created == waiter.created }
        return waiter
    }
}
