import RPC
import Testing

/// What a database has shown so far, checked after each restart against what it shows then.
struct History: Sendable {
    var load: Load
    /// All changes after the compacted revision, as the last check saw them.
    private var changes: [Change] = []
    private var compacted: Int64 = 0
    /// A compaction whose answer did not come.
    private var uncertainCompaction: Int64?
    private var revision: Int64 = 1

    init(_ load: Load) {
        self.load = load
    }

    /// Compacts in the middle of a load; the answer may be lost with the server.
    mutating func noteCompaction(to revision: Int64, isAcknowledged: Bool) {
        if isAcknowledged {
            compacted = revision
        } else {
            uncertainCompaction = revision
        }
    }

    /// Checks everything a restarted server shows.
    ///
    /// - Parameter seen: What a watch received before the server went away.
    mutating func check(_ server: ServerUnderTest, seen: [Change], _ context: String) async throws {
        let client = try await EtcdClient.connect(to: server)
        let now = try await client.all()
        let current = now.revision
        #expect(current >= max(revision, load.revisionMax), "the revision went back: \(context)")
        // A watch of nothing would wait for something to happen.
        if current > 1 { try await settleCompaction(client, context) }

        let replayed = try await replay(client, through: current)
        checkRevisions(replayed, from: compacted + 1, through: current, context)
        let known = changes.filter { $0.revision > compacted }
        #expect(Array(replayed.prefix(known.count)) == known, "history has changed: \(context)")
        let shown = seen.filter { $0.revision > compacted }
        #expect(
            Set(shown).isSubset(of: replayed), "a watch showed what is not in the history: \(context)")
        let base = compacted > 0 ? try await client.all(at: compacted).rows : []
        checkWriters(now, WriteEvidence(changes: replayed, base: base, compacted: compacted), context)
        checkState(now, base, replayed, context)

        changes = replayed
        revision = current
        await client.close()
    }

    private mutating func settleCompaction(_ client: EtcdClient, _ context: String) async throws {
        let log = try client.watch(from: 1)
        let answer = try await log.content.wait(for: "a first answer") { content in
            content.compactRevision != 0 || !content.changes.isEmpty || content.end != nil ? content : nil
        }
        let shown = answer.compactRevision
        let possible = [compacted, uncertainCompaction].compactMap { $0 }.filter { $0 >= compacted }
        #expect(possible.contains(shown), "compacted to \(shown), expected one of \(possible): \(context)")
        compacted = shown
        uncertainCompaction = nil
        guard compacted > 1 else { return }
        await #expect("a read below the compacted revision must fail: \(context)") {
            _ = try await client.all(at: compacted - 1)
        } throws: { error in
            (error as? RPCStatus)?.message == "etcdserver: mvcc: required revision has been compacted"
        }
    }

    private func replay(_ client: EtcdClient, through current: Int64) async throws -> [Change] {
        guard current > max(compacted, 1) else { return [] }
        return try #require(await client.watch(from: compacted + 1).changes(through: current))
    }

    /// Each revision is there, in order, and no key twice in one.
    private func checkRevisions(_ changes: [Change], from first: Int64, through last: Int64, _ context: String) {
        let revisions = changes.map(\.revision)
        #expect(revisions == revisions.sorted(), "changes out of order: \(context)")
        // The first write to a database has revision 2.
        let start = max(first, 2)
        if start <= last {
            #expect(Set(revisions) == Set(start...last), "a gap in the history: \(context)")
        }
        let places = Set(changes.map { "\($0.revision) \($0.key)" })
        #expect(places.count == changes.count, "a change was told twice: \(context)")
    }

    /// Every acknowledged write is there as it was acknowledged, and an uncertain one either wholly or not at all.
    private mutating func checkWriters(_ now: DatabaseState, _ evidence: WriteEvidence, _ context: String) {
        let rows = Dictionary(
            uniqueKeysWithValues: now.rows.map { row in
                (row.key, Writer.KeyState(value: row.value, revision: row.revision, version: row.version))
            })
        for index in load.writers.indices {
            if let operation = load.writers[index].uncertain {
                let found = operation.keys.compactMap { key in
                    evidence.revision(of: operation, on: key, after: load.writers[index].acknowledged[key])
                }
                #expect(found.isEmpty || found.count == operation.keys.count, "half a transaction: \(context)")
                #expect(Set(found).count <= 1, "a transaction in two revisions: \(context)")
                if let revision = found.first { load.writers[index].note(operation, at: revision) }
                load.writers[index].uncertain = nil
            }
            for (key, state) in load.writers[index].acknowledged {
                if state.value == nil {
                    #expect(rows[key] == nil, "\(key) was deleted at \(state.revision): \(context)")
                } else {
                    #expect(rows[key] == state, "\(key): \(context)")
                }
            }
            let pair = load.writers[index].pair.map { rows[$0] }
            #expect(pair[0] == pair[1], "the two keys of a pair differ: \(context)")
            #expect(load.writers[index].violations == [], "\(context)")
        }
        #expect(
            Set(rows.keys).isSubset(of: load.writers.flatMap { Array($0.acknowledged.keys) }),
            "keys that nobody wrote: \(context)")
    }

    /// The state at the compacted revision and the changes since then give the state of now.
    private func checkState(_ now: DatabaseState, _ base: [Change], _ replayed: [Change], _ context: String) {
        var state = Dictionary(uniqueKeysWithValues: base.map { ($0.key, $0) })
        for change in replayed { state[change.key] = change.value == nil ? nil : change }
        #expect(Set(state.values) == Set(now.rows), "replay and state differ: \(context)")
    }
}
