import T4Protocols

/// What is wrong with a `BrokenElection`; the text is the beginning of the name of a rule that must see it.
enum ElectionDefect: String, CaseIterable {
    case inventsLeaders = "nobody leads where"
    case sortsTheSet = "the record is seen"
    case forgetsResignation = "who resigns leaves"
    case termsFall = "a term rises"
    case sequencesFall = "updates keep the term"
    case noncesRepeat = "a campaign needs a nonce"
    case replacesAnybody = "a campaign replaces the very record"
    case repeatsLose = "the same call again"
    case neverFences = "who was replaced writes"
    case takesOldVersions = "an old version of a leadership"
    case looksThenWrites = "of 16 campaigns at once"
    case looksThenUpdates = "of updates and campaigns at once"
    case resignsForOthers = "random campaigns"
}

/// An election with one defect.
struct BrokenElection: Election {
    private let base: any Election
    private let defect: ElectionDefect

    init(_ base: any Election, _ defect: ElectionDefect) {
        self.base = base
        self.defect = defect
    }

    func current() async throws(ElectionError) -> LeaderRecord? {
        var record = try await base.current()
        if defect == .sortsTheSet { record?.inSyncSet.sort() }
        if defect == .forgetsResignation { record?.isResigned = false }
        guard defect == .inventsLeaders, record == nil else { return record }
        return LeaderRecord(
            term: 1, nodeID: "", instanceID: "", address: "", inSyncSet: [], storeComplete: false, sequence: 0, nonce: 0
        )
    }

    func campaign(
        with record: LeaderRecord, replacing dead: LeaderRecord?
    ) async throws(ElectionError) -> CampaignResult {
        let there = try await base.current()
        switch defect {
        case .termsFall where record.term <= dead?.term ?? 0:
            return .won(Leadership(record: record, version: ObjectVersion("")))
        case .noncesRepeat where record.nonce == dead?.nonce:
            return .won(Leadership(record: record, version: ObjectVersion("")))
        case .repeatsLose where there == record: return .lost(to: record)
        case .replacesAnybody where there != dead && record.term > there?.term ?? 0:
            return try await base.campaign(with: record, replacing: there)
        case .looksThenWrites where there == dead:
            await Task.yield()
            let now = try await base.current()
            var risen = record
            risen.term = max(record.term, (now?.term ?? 0) + 1)
            return try await base.campaign(with: risen, replacing: now)
        default: return try await base.campaign(with: record, replacing: dead)
        }
    }

    func update(_ held: Leadership, to record: LeaderRecord) async throws(ElectionError) -> Leadership {
        do throws(ElectionError) {
            return try await base.update(held, to: record)
        } catch {
            let isLate = error.code == .fenced && [.neverFences, .takesOldVersions, .looksThenUpdates].contains(defect)
            guard isLate || error.code == .invalidArgument && defect == .sequencesFall else { throw error }
            return Leadership(record: record, version: held.version)
        }
    }

    func resign(_ held: Leadership) async throws(ElectionError) {
        guard defect == .resignsForOthers, let there = try await base.current(), there != held.record else {
            return try await base.resign(held)
        }
        var record = there
        (record.isResigned, record.term, record.nonce) = (true, there.term + 1, there.nonce ^ 1)
        _ = try await base.campaign(with: record, replacing: there)
    }
}
