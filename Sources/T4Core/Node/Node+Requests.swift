import T4Protocols

// The database as a library sees it. The server takes the same paths without the hop to a task.
extension Node {
    /// The newest visible revision.
    public var revision: Revision { published.revision }

    /// The revision below which history is gone.
    public var compactedRevision: Revision { published.compactedRevision }

    /// Reads one key or a range.
    ///
    /// Sees every write that this node has acknowledged before the call, in a cluster after `catchUp` also those of all others;
    /// keys, count and revision belong to one moment.
    /// - Throws: `.keyNotProvided`, `.compacted`, `.futureRevision`, `.engineFailed`.
    public func range(_ request: RangeRequest) throws(DatabaseError) -> RangeResponse {
        try request.validate()
        return try reading { reader in try request.evaluate(on: SnapshotView(reader)) }
    }

    /// Writes one key. When it returns, the write survives power loss and is visible to everybody.
    /// - Throws: `.keyNotProvided`, `.keyNotFound` (ignore flags on an absent key), `.valueProvided`, `.leaseProvided`,
    ///   `.leaseNotFound`, `.requestTooLarge`, `.noSpace`, `.corrupt`, `.tooManyRequests`, `.stopped`: nothing was
    ///   written.
    ///   `.outcomeUnknown`: read before repeating.
    @discardableResult
    public func put(_ request: PutRequest) async throws(DatabaseError) -> PutResponse {
        try request.validate()
        guard case .put(let response) = try await propose(.put(request)) else { preconditionFailure() }
        return response
    }

    /// Deletes one key or a range, as one revision; none when nothing was there. Errors as `put`.
    @discardableResult
    public func deleteRange(_ request: DeleteRangeRequest) async throws(DatabaseError) -> DeleteRangeResponse {
        try request.validate()
        guard case .deleteRange(let response) = try await propose(.deleteRange(request)) else {
            preconditionFailure()
        }
        return response
    }

    /// Runs a transaction, whole or not at all, as one revision.
    /// - Throws: As `put` and `range`, and `.tooManyOperations`, `.duplicateKey`.
    @discardableResult
    public func txn(_ request: TxnRequest) async throws(DatabaseError) -> TxnResponse {
        try request.validate(operationsMax: configuration.txnOperationsMax)
        if request.isReadOnly { return try reading { try Node.readOnlyTxn(request, on: $0) } }
        guard case .txn(let response) = try await propose(.txn(request)) else { preconditionFailure() }
        return response
    }

    /// Evaluates a transaction without writes. It must have been validated.
    package static func readOnlyTxn(_ request: TxnRequest, on reader: StateReader) throws -> TxnResponse {
        var view = TransactionView(
            base: reader.meta.revision, compacted: reader.meta.compacted, reader: reader, pending: nil)
        return try TxnEvaluation { _ in true }.run(request, on: &view)
    }

    /// Drops history below a revision. With `physical` it returns once the rows are gone.
    /// - Throws: `.compacted`, `.futureRevision`, and as `put`.
    @discardableResult
    public func compact(_ request: CompactionRequest) async throws(DatabaseError) -> Revision {
        guard case .compact(let revision) = try await propose(.compact(request.revision)) else {
            preconditionFailure()
        }
        if request.physical {
            let compactor = compactor
            await withCheckedContinuation { continuation in
                compactor.whenDone(Revision(request.revision)) { continuation.resume() }
            }
        }
        return revision
    }

    /// Grants a lease of `ttl` seconds, raised to the minimum; id 0 lets the node choose.
    /// - Throws: `.leaseExists`, `.leaseTTLTooLarge`, and as `put`.
    public func grantLease(id: Int64 = 0, ttl: Int64) async throws(DatabaseError) -> LeaseGrantResponse {
        let record = LeaseRecord(id: id == 0 ? leases.makeID() : id, ttl: leases.ttl(forWish: ttl))
        guard case .grant(let response) = try await propose(.grant(record)) else { preconditionFailure() }
        return response
    }

    /// Revokes a lease and deletes its keys in one revision.
    /// - Throws: `.leaseNotFound`, and as `put`.
    @discardableResult
    public func revokeLease(_ id: Int64) async throws(DatabaseError) -> Revision {
        guard case .revoke(let revision) = try await propose(.revoke(lease: id)) else { preconditionFailure() }
        return revision
    }

    /// Gives a lease its whole TTL again.
    /// - Returns: The TTL in seconds; nil when there is no such lease.
    /// - Throws: `.noLeader`, `.stopped`.
    public func renewLease(_ id: Int64) async throws(DatabaseError) -> Int64? {
        guard case .renewed(let ttl) = try await ask(.renew(id)) else { preconditionFailure() }
        return ttl
    }

    /// Returns when everything is visible here that any node of the cluster has acknowledged before; at once where the node is
    /// alone.
    /// - Throws: `.noLeader`, `.stopped`.
    public func catchUp() async throws(DatabaseError) { _ = try await ask(.index) }

    private func ask(_ query: LeaderQuery) async throws(DatabaseError) -> LeaderReply {
        let result: Result<LeaderReply, DatabaseError> = await withCheckedContinuation { continuation in
            ask(query) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Proposals that wait to be decided.
    package var proposalsPending: Int { queue.count }

    /// Bytes at which the database counts as full; nil for no limit.
    public var quotaBytes: Int? { configuration.quotaBytes }

    /// The alarms that are raised, by kind and then by member.
    /// - Throws: `.engineFailed`, `.stopped`.
    public func alarms() throws(DatabaseError) -> [Alarm] { try reading { try $0.alarms() } }

    /// Raises an alarm; no effect when it is raised already. When it returns, the alarm survives power loss and its
    /// refusals hold.
    /// - Throws: `.tooManyRequests`, `.stopped`, `.noSpace` of a disk that is full to the last byte: nothing changed.
    ///   `.outcomeUnknown`.
    public func raise(_ alarm: Alarm) async throws(DatabaseError) { _ = try await propose(.raise(alarm)) }

    /// Ends an alarm; works whatever is raised. Errors as `raise`.
    /// - Returns: False when it was not raised.
    @discardableResult
    public func disarm(_ alarm: Alarm) async throws(DatabaseError) -> Bool {
        guard case .alarm(_, let disarmed) = try await propose(.disarm(alarm)) else { preconditionFailure() }
        return disarmed != nil
    }

    /// Has the engine write out everything applied so far. `completion` comes once, from the applying thread, or at once while the
    /// engine has no space.
    package func flush(_ completion: @escaping @Sendable (Result<Void, DatabaseError>) -> Void) {
        if stage.isFull {
            return completion(.failure(DatabaseError(.noSpace, "the disk of the local engine is full")))
        }
        stage.sync { result in completion(result.mapError { DatabaseError(engine: $0) }) }
    }

    /// Gives back the space of what was deleted and compacted before the last `flush`, as far as the engine can. Writes
    /// and reads go on. Returns when it is done, which may take long.
    package func reclaimSpace() throws(DatabaseError) {
        do throws(EngineError) { try engine.reclaimSpace() } catch { throw DatabaseError(engine: error) }
    }

    /// Runs a read on one snapshot and names what fails.
    package func reading<Value>(_ body: (StateReader) throws -> Value) throws(DatabaseError) -> Value {
        do {
            return try body(read())
        } catch let error as DatabaseError {
            throw error
        } catch let error as EngineError where error.code == .closed {
            throw DatabaseError(.stopped, "the node is stopped")
        } catch {
            throw DatabaseError(.engineFailed, "the local engine cannot be read: \(error)")
        }
    }

    private func propose(_ kind: ProposalKind) async throws(DatabaseError) -> ProposalResponse {
        let result: Result<ProposalResponse, DatabaseError> = await withCheckedContinuation { continuation in
            submit(kind) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }
}

extension DatabaseError {
    /// What a failure of the engine in the background means for whoever asked for it.
    fileprivate init(engine error: EngineError) {
        switch error.code {
        case .closed: self.init(.stopped, "the node is stopping")
        case .noSpace: self.init(.noSpace, "the disk of the local engine is full")
        default: self.init(.engineFailed, "the local engine failed: \(error)")
        }
    }
}
