import T4Core

/// The keys below a name as a line: who came first holds the lock or leads, the others wait behind each other. Keys,
/// comparisons and reads are those of etcd's client library, so that its users stand in the same line.
struct Line: Sendable {
    /// A place in a line.
    struct Place: Hashable, Sendable {
        /// The key that stands for it.
        var key: [UInt8]
        /// When the key was made: the order of the line.
        var created: Revision
    }

    /// What became of joining a line.
    struct Joining: Hashable, Sendable {
        var place: Place
        /// The revision of the answer.
        var revision: Revision
        /// Nobody is in front.
        var isFirst: Bool
        /// What the key holds; it had been made before when it is not the value given.
        var value: [UInt8]

        /// Reads the answer to `Line.join`.
        init(_ response: TxnResponse, key: [UInt8], value: [UInt8]) {
            guard response.responses.count == 2, case .range(let first) = response.responses[1] else {
                preconditionFailure("a line is joined with two operations, the second of them a read")
            }
            var created = response.revision
            self.value = value
            if case .range(let own) = response.responses[0], let row = own.kvs.first {
                created = row.createRevision
                self.value = row.value
            }
            place = Place(key: key, created: created)
            revision = response.revision
            isFirst = first.kvs.first.map { $0.createRevision == created } ?? true
        }
    }

    /// What the keys of the line begin with.
    let prefix: [UInt8]

    init(name: [UInt8]) { prefix = name + [UInt8(ascii: "/")] }

    /// The key of whoever holds a lease.
    func key(lease: Int64) -> [UInt8] { prefix + Array(String(lease, radix: 16).utf8) }

    /// The first key behind the prefix.
    var end: [UInt8] { Array(prefix.dropLast()) + [UInt8(ascii: "/") + 1] }

    /// The oldest key.
    var first: RangeRequest {
        RangeRequest(key: prefix, rangeEnd: end, limit: 1, sortOrder: .ascend, sortTarget: .create)
    }

    /// The youngest key that is older than a place.
    func last(before place: Place) -> RangeRequest {
        RangeRequest(
            key: prefix, rangeEnd: end, limit: 1, sortOrder: .descend, sortTarget: .create, keysOnly: true,
            maxCreateRevision: place.created.rawValue - 1)
    }

    /// Makes the lease's key at the end of the line, unless it is in it already, and reads who is first.
    func join(lease: Int64, value: [UInt8]) -> TxnRequest {
        let key = key(lease: lease)
        return TxnRequest(
            compares: [Compare(key: key, result: .equal, target: .create(0))],
            success: [.put(PutRequest(key: key, value: value, lease: lease)), .range(first)],
            failure: [.range(RangeRequest(key: key)), .range(first)])
    }
}

extension Line.Place {
    private func request(_ operation: RequestOperation) -> TxnRequest {
        TxnRequest(
            compares: [Compare(key: key, result: .equal, target: .create(created.rawValue))], success: [operation])
    }

    /// Writes a value while the place is held.
    func proclaim(_ value: [UInt8], lease: Int64) -> TxnRequest {
        request(.put(PutRequest(key: key, value: value, lease: lease)))
    }

    /// Gives the place up if it is held.
    var leave: TxnRequest { request(.deleteRange(DeleteRangeRequest(key: key))) }
}
