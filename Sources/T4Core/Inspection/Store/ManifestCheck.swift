import T4Protocols

/// What a manifest must be beyond its hashes: a writer's mistake, or a manifest in the place of another one.
enum ManifestCheck {
    static func problems(of checkpoint: Manifest, key: ObjectKey, database: DatabaseID?) -> [String] {
        var problems: [String] = []
        if let database, checkpoint.database != "\(database)" {
            problems.append("belongs to database \(checkpoint.database), not to \(database)")
        }
        let names = [nil, checkpoint.index].map {
            StoreLayout.checkpoint(term: checkpoint.term, revision: Revision(checkpoint.revision), index: $0)
        }
        // Further attempts have a number behind the index.
        let isFurther = key.rawValue.hasPrefix(names[1].rawValue.dropLast(".json".count) + "-")
        if !names.contains(key), !isFurther { problems.append("holds the checkpoint that \(names[0]) should hold") }
        if checkpoint.compacted > checkpoint.revision {
            problems.append("is compacted at \(checkpoint.compacted), above its revision \(checkpoint.revision)")
        }
        for table in checkpoint.base where table.upTo.map({ $0 > checkpoint.index }) ?? true {
            problems.append("has a base table, \(table.id), that does not say up to which entry it holds everything")
        }
        var last = checkpoint.index
        for delta in checkpoint.deltas {
            if delta.from >= delta.to || delta.to > last {
                problems.append("has a delta of the entries \(delta.from) to \(delta.to) in the wrong place")
            }
            last = delta.from
        }
        for run in checkpoint.deltas.map(\.tables) + [checkpoint.base] {
            for table in run where table.lastName.lexicographicallyPrecedes(table.firstName) {
                problems.append("has a table, \(table.id), that ends before it begins")
            }
            for (table, next) in zip(run, run.dropFirst()) {
                let (end, start) = (TableRow.keyPrefix(of: table.lastName), TableRow.keyPrefix(of: next.firstName))
                if !end.lexicographicallyPrecedes(start) {
                    problems.append("has tables out of order: \(table.id) and \(next.id)")
                }
            }
        }
        return problems
    }
}
