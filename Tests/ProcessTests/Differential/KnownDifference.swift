/// A place where t4 does not do what etcd 3.5.1 does, and why. The whole list of them, for this test and for readers.
///
/// Each entry that random scripts can meet is as narrow as it can be said; `Scripts/known-*.steps` meet every one of
/// those, so that none outlives its reason. The others are left out by the generator, and `test` names what shows them.
struct KnownDifference: Sendable {
    enum Place: Sendable {
        /// The answer to a call.
        case answer(@Sendable (_ step: Step, _ etcd: String, _ t4: String) -> Bool)
        /// What a watch stream carries; `WatchComparison` decides.
        case watch
        /// What locks and elections show; `LineRun` decides.
        case line
        /// No script meets it: `test` shows it.
        case elsewhere(test: String)
    }

    let name: String
    let reason: String
    /// True when the two databases are no longer equal behind it: a script ends there.
    var parts = false
    let place: Place

    func explains(_ step: Step, _ etcd: String, _ t4: String) -> Bool {
        if case .answer(let explains) = place { explains(step, etcd, t4) } else { false }
    }

    static let all: [KnownDifference] = [
        KnownDifference(
            name: "hash-number",
            reason: """
                Hashes are of the rows as the server stores them, and t4 does not store etcd's. hash_revision is a \
                field of etcd 3.6.
                """,
            place: .answer { step, etcd, t4 in
                guard step.verb == .hash || step.verb == .hashKV else { return false }
                func withoutHash(_ text: String) -> String {
                    text.replacing(#/ (hash|hash_revision): [0-9]+/#, with: "")
                }
                return withoutHash(etcd) == withoutHash(t4)
            }),
        KnownDifference(
            name: "hash-at-compaction",
            reason: """
                HashKV at the compacted revision itself, which can be read: etcd 3.5.1 refuses it, etcd 3.6 does not \
                (hashByRev in server/storage/mvcc/kvstore.go).
                """,
            place: .answer { step, etcd, t4 in
                guard step.verb == .hashKV, let compacted = t4.firstMatch(of: /compact_revision: ([0-9]+)/)?.1 else {
                    return false
                }
                return t4.contains("hash_revision: \(compacted)")
                    && etcd == refusal("outOfRange", "mvcc: required revision has been compacted")
            }),
        KnownDifference(
            name: "compaction-to-zero",
            reason: """
                A compaction to 0 succeeds while nothing is compacted and compacts nothing. etcd, which counts "never" \
                as -1, remembers it and refuses a second one; t4 has nothing to remember.
                """,
            place: .answer { step, etcd, t4 in
                step.verb == .compact && ["0", nil].contains(step.fields["revision"]?.scalar)
                    && etcd == refusal("outOfRange", "mvcc: required revision has been compacted")
                    && !t4.hasPrefix("rpc error")
            }),
        KnownDifference(
            name: "unknown-sort",
            reason: """
                A sort order that does not exist: etcd 3.5 does not sort then, and ends its process for a target that \
                does not exist; etcd 3.6 refuses both (checkRangeRequest in server/etcdserver/api/v3rpc/key.go).
                """,
            place: .answer { step, etcd, t4 in
                // Whatever etcd makes of the rest of the request; t4, as etcd 3.6, looks at the order first.
                step.verb == .range && step.fields["sort_order"]?.scalar == "9" && !etcd.contains("unavailable")
                    && t4 == refusal("invalidArgument", "invalid sort option")
            }),
        KnownDifference(
            name: "unstable-sort",
            reason: """
                Keys that are equal in what they are sorted by: t4 keeps them in key order. etcd's sort is not stable for \
                more than six keys, and says nothing of their order.
                """,
            place: .answer { step, etcd, t4 in
                func rows(_ text: String) -> [String] {
                    text.matches(of: #/kvs \{ .*? \}/#).map { String($0.0) }.sorted()
                }
                guard step.verb == .range, let target = step.fields["sort_target"]?.scalar, target != "KEY" else {
                    return false
                }
                return rows(etcd).count > 6 && rows(etcd) == rows(t4) && etcd.utf8.count == t4.utf8.count
            }),
        KnownDifference(
            name: "long-key",
            reason: "t4 takes keys of 32 KiB at most, for the engines' sake.",
            parts: true,
            place: .answer { step, etcd, t4 in
                guard step.verb == .put, !etcd.hasPrefix("rpc error") else { return false }
                return (step.fields["key"]?.scalar).map { Side.expanded($0).utf8.count > 32 << 10 } == true
                    && t4 == refusal("invalidArgument", "request is too large")
            }),
        KnownDifference(
            name: "put-and-delete-from-key",
            reason: """
                A Txn that puts a key and deletes from a key on is a duplicate key if the deletion covers the put. \
                etcd, 3.6 too, reads the end "\\0" literally in its check (checkIntervals in key.go) and passes it: \
                a watcher gets two events of one key with one revision.
                """,
            parts: true,
            place: .answer { step, etcd, t4 in
                step.verb == .txn && step.fields.text.contains(#"range_end: "\000""#)
                    && step.fields.text.contains("request_put") && !etcd.hasPrefix("rpc error")
                    && t4 == refusal("invalidArgument", "duplicate key given in txn request")
            }),
        KnownDifference(
            name: "put-before-nested-delete",
            reason: """
                A Txn of which a nested one puts a key and a later nested one deletes it is a duplicate key, if both run. \
                etcd, 3.6 too, compares only puts with the deletions before them (checkIntervals in key.go): a watcher \
                gets two events of one key with one revision.
                """,
            parts: true,
            place: .answer { step, etcd, t4 in
                step.verb == .txn && step.fields.text.contains("request_txn")
                    && step.fields.text.contains("request_delete_range")
                    && step.fields.text.contains("request_put") && !etcd.hasPrefix("rpc error")
                    && t4 == refusal("invalidArgument", "duplicate key given in txn request")
            }),
        KnownDifference(
            name: "unguarded-read",
            reason: """
                etcd 3.5.1 asks for no login where later etcd does (CVE-2026-33413 and before it), looks at the rest of a \
                request first, or refuses in words of its own ("auth: invalid auth token", code Unknown).
                """,
            place: .answer { step, etcd, t4 in
                let verbs: [Verb] = [
                    .status, .memberList, .memberRemove, .memberPromote, .leaseTimeToLive, .leaseLeases, .alarm,
                    .authStatus, .hash, .hashKV, .defragment, .moveLeader,
                ]
                return verbs.contains(step.verb) && isRefusedByAuth(t4)
            }),
        KnownDifference(
            name: "unguarded-write",
            reason: "As unguarded-read, where the request changes something.",
            parts: true,
            place: .answer { step, etcd, t4 in
                [.leaseGrant, .leaseRevoke, .keepAlive, .compact].contains(step.verb) && isRefusedByAuth(t4)
            }),
        KnownDifference(
            name: "nested-rights",
            reason: "etcd 3.5.1 does not look at the rights that a nested Txn needs, later etcd does (CVE-2026-33343).",
            parts: true,
            place: .answer { step, etcd, t4 in
                step.verb == .txn && step.fields.text.contains("request_txn")
                    && t4 == refusal("permissionDenied", "permission denied")
            }),
        KnownDifference(
            name: "put-rights-in-a-txn",
            reason: """
                etcd 3.5.1 does not look at the rights that a put in a Txn needs for its previous value and its lease, later \
                etcd does (CVE-2026-44283).
                """,
            parts: true,
            place: .answer { step, etcd, t4 in
                let text = step.fields.text
                return step.verb == .txn && text.contains("request_put")
                    && (text.contains("prev_kv: true") || text.contains("lease: "))
                    && t4 == refusal("permissionDenied", "permission denied")
            }),
        progressOfNothing, progressAhead, tombstoneAtCompaction, previousForgotten,
        KnownDifference(
            name: "negative-start",
            reason: """
                A watch from a negative revision: etcd 3.5 compares it with a compacted revision of -1 while nothing \
                is compacted, etcd 3.6 refuses it.
                """,
            place: .elsewhere(test: "LaterEtcdTests.aWatchFromANegativeRevisionSaysWhyItEnds")),
        KnownDifference(
            name: "both-alarms",
            reason: "etcd 3.5 forgets the effect of one alarm when the other is raised, etcd 3.6 keeps both.",
            place: .elsewhere(test: "LaterEtcdTests.alarmsOfBothKindsHoldTogether")),
        KnownDifference(
            name: "unknown-alarms",
            reason: "etcd 3.5 ends its process when an alarm of an unknown type is raised.",
            place: .elsewhere(test: "LaterEtcdTests.unknownNumbersInAnAlarmRequestAreRefused")),
        KnownDifference(
            name: "token-while-disabled",
            reason: """
                A token while authentication is disabled: etcd 3.5.1 looks at it and knows none, later etcd does not \
                look (AuthInfoFromCtx in server/auth/store.go).
                """,
            place: .elsewhere(test: "LaterEtcdTests.tokensDoNotMatterWithoutAuthentication")),
        KnownDifference(
            name: "empty-permission-range",
            reason: """
                A permission on no key: etcd 3.5.1 keeps it, later etcd refuses it (isValidPermissionRange in \
                server/auth/range_perm_cache.go).
                """,
            place: .elsewhere(test: "LaterEtcdTests.permissionsOnNoKeyAreRefused")),
        KnownDifference(
            name: "empty-range-rights",
            reason: """
                The right to read or delete a range that ends before it begins: t4 looks at its first key. With etcd the \
                shape of its tree of permissions decides. There is nothing in such a range.
                """,
            place: .elsewhere(test: "AuthStateTests.rangesAreCoveredByAllRolesTogether")),
        KnownDifference(
            name: "lockout",
            reason:
                "After several failed logins of a user t4 refuses further ones for a while; etcd lets everybody guess.",
            parts: true,
            place: .answer { step, etcd, t4 in
                step.verb == .authenticate && t4.contains("too many failed logins")
            }),
        lostCampaign, lostLock,
        KnownDifference(
            name: "version",
            reason: """
                t4 tells clients the version of an etcd 3.6, and with it what came with that: storageVersion in Status, \
                storage in /version.
                """,
            place: .elsewhere(test: "GatewayOwnTests.versionHasTheShapeThatClientsSplit")),
        KnownDifference(
            name: "downgrade",
            reason: "The version of etcd that t4 tells clients has one before it, which t4 cannot become.",
            place: .elsewhere(test: "LineServicesTests.thereIsNoVersionToGoBackTo")),
    ]

    static let progressOfNothing = KnownDifference(
        name: "progress-of-nothing",
        reason: """
            A progress request on a stream without watches: etcd 3.5.1 answers, later etcd does not \
            (RequestProgressAll in server/storage/mvcc/watcher.go has no watch to ask).
            """,
        place: .watch)
    static let progressAhead = KnownDifference(
        name: "progress-ahead",
        reason: """
            A progress request while a watch of the stream begins in the future: etcd 3.5.1 answers at once, whatever \
            was delivered; t4, as etcd from 3.5.22 and 3.6.2 on (progressIfSync in watchable_store.go), not before \
            that revision.
            """,
        place: .watch)
    static let tombstoneAtCompaction = KnownDifference(
        name: "tombstone-at-compaction",
        reason: """
            A deletion at the compacted revision itself, which a watch may still start from: etcd 3.5.1 loses it \
            (issues 18089 and 19179, mended in 3.5.16 and 3.6).
            """,
        place: .watch)

    static let lostCampaign = KnownDifference(
        name: "lost-campaign",
        reason: """
            A Campaign whose key went while it waited: etcd does not look, and says that it leads \
            (client/v3/concurrency/election.go).
            """,
        place: .line)
    static let lostLock = KnownDifference(
        name: "lost-lock",
        reason: """
            A Lock whose key went while it waited and was made anew by another Lock of the same lease, whose place is \
            further back: etcd says that it has the lock, and when it gives up takes the other's place away \
            (client/v3/concurrency/mutex.go).
            """,
        parts: true,
        place: .line)

    static let previousForgotten = KnownDifference(
        name: "previous-forgotten",
        reason: """
            The first events of a watch from the past that asked for previous values: etcd notes the wish only once the \
            watch is there, and may send them before without (recvLoop in server/etcdserver/api/v3rpc/watch.go).
            """,
        place: .elsewhere(test: "WatchSemanticsTests.previousVersionsOnlyWhenAskedFor"))

    /// Whether an answer is that of a node that was not told who asks.
    private static func isRefusedByAuth(_ answer: String) -> Bool {
        ["user name is empty", "invalid auth token", "permission denied"].contains { text in
            answer.hasPrefix("rpc error") && answer.hasSuffix("etcdserver: " + text)
        }
    }

    private static func refusal(_ code: String, _ text: String) -> String {
        "rpc error: code = \(code) desc = etcdserver: \(text)"
    }
}
