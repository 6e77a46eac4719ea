import T4Core

// The work with the object store.
extension Metrics {
    func addStore(to text: inout PrometheusText) {
        guard let statistics = node.storeStatistics else { return }
        addCalls(statistics, to: &text)
        addUploads(statistics, to: &text)
        addCheckpoints(statistics, to: &text)
        let collections = statistics.collectionCounts
        text.add(
            "t4_gc_runs_total", .counter, "Collections of garbage by this node.",
            [
                (.init("result", "success"), collections.completed),
                (.init("result", "given_up"), collections.givenUp),
            ])
        text.add(
            "t4_gc_deleted_objects_total", .counter, "Objects that they have deleted.",
            [
                (.init("kind", "checkpoint"), collections.checkpoints), (.init("kind", "table"), collections.tables),
                (.init("kind", "wal"), collections.logObjects),
            ])
        text.add(
            "t4_gc_deleted_bytes_total", .counter, "Bytes of these tables and parts of the log.", collections.bytes)
        text.add(
            "t4_wal_gc_segments_total", .counter, "Objects of the log that they have deleted.", collections.logObjects)
    }

    private func addCalls(_ statistics: StoreStatistics, to text: inout PrometheusText) {
        let operations = StoreStatistics.Operation.allCases
        text.add(
            "t4_object_store_ops_total", .counter, "Calls of the object store.",
            operations.flatMap { operation in
                StoreStatistics.Outcome.allCases.map { outcome in
                    (
                        PrometheusText.Labels([("op", operation.name), ("result", outcome.name)]),
                        statistics.calls(operation, outcome)
                    )
                }
            })
        text.add(
            "t4_object_store_duration_seconds", "How long calls of the object store took.",
            operations.map { (.init("op", $0.name), statistics.times(of: $0).reading) })
        let bytes = statistics.bytes
        text.add("t4_object_store_read_bytes_total", .counter, "Bytes of objects that were read.", bytes.read)
        text.add("t4_object_store_written_bytes_total", .counter, "Bytes of objects that were written.", bytes.written)
    }

    private func addUploads(_ statistics: StoreStatistics, to text: inout PrometheusText) {
        let uploads = statistics.uploads.reading
        text.add("t4_wal_uploads_total", .counter, "Parts of the log that were uploaded.", uploads.count)
        text.add(
            "t4_wal_upload_errors_total", .counter, "Attempts to upload a part that failed.", statistics.uploadFailures)
        text.add("t4_wal_upload_duration_seconds", "How long uploads took, repeated attempts included.", uploads)
        text.add(
            "t4_wal_upload_bytes_total", .counter, "Bytes of the log that were uploaded.", statistics.uploadedBytes)
        guard let status = node.storeStatus else { return }
        text.add(
            "t4_durability_lag_entries", .gauge, "Entries of the log that are not in the object store yet.",
            status.backlogEntries)
        text.add("t4_durability_lag_bytes", .gauge, "Their bytes.", status.backlogBytes)
        text.add(
            "t4_durability_lag_seconds", .gauge, "Age of the first of them; 0 without one.", status.backlogAge.seconds)
        text.add("t4_store_outage", "1 while uploads of the log fail.", is: status.outage != nil)
    }

    private func addCheckpoints(_ statistics: StoreStatistics, to text: inout PrometheusText) {
        let checkpoints = statistics.checkpoints.reading
        text.add("t4_checkpoints_total", .counter, "Checkpoints that this node has written.", checkpoints.count)
        text.add(
            "t4_checkpoint_failures_total", .counter, "Checkpoints that could not be made.",
            statistics.checkpointFailures)
        text.add("t4_checkpoint_duration_seconds", "How long checkpoints took.", checkpoints)
        text.add(
            "t4_checkpoint_bytes_total", .counter, "Bytes of new tables of checkpoints.", statistics.checkpointBytes)
        guard let status = node.storeStatus else { return }
        text.add(
            "t4_checkpoint_age_seconds", .gauge,
            "Time since a checkpoint covered everything, or this node began to make them.",
            statistics.checkpointAge)
        let applied = node.published.appliedIndex
        text.add(
            "t4_checkpoint_lag_entries", .gauge, "Entries of the log behind the newest checkpoint.",
            applied > status.checkpointIndex ? applied - status.checkpointIndex : 0)
    }
}

extension StoreStatistics.Operation {
    /// The value of the label, as in T4.
    fileprivate var name: String {
        switch self {
        case .get: "get"
        case .getVersion: "get_etag"
        case .put: "put"
        case .putIfAbsent: "put_if_absent"
        case .putIfUnchanged: "put_if_match"
        case .list: "list"
        case .delete: "delete"
        case .deleteMany: "delete_many"
        }
    }
}

extension StoreStatistics.Outcome {
    /// The value of the label.
    fileprivate var name: String {
        switch self {
        case .success: "success"
        case .notFound: "not_found"
        case .conflict: "conflict"
        case .error: "error"
        }
    }
}

extension Duration {
    /// For metrics.
    var seconds: Double { Double(nanoseconds) / 1_000_000_000 }
}
