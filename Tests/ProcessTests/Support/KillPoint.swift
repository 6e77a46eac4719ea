import Testing

/// A kind of request to the object store in the middle of which t4 is killed.
struct KillPoint: Sendable {
    /// Whose request it is: this process is killed.
    enum Victim: Sendable {
        /// A node under load.
        case node
        /// A node under load that finds garbage.
        case collectingNode
        /// A node whose database does not exist yet.
        case firstStart
        /// A node with an empty directory, whose database is in the store.
        case refill
        /// The first node of a branch.
        case branchStart
        /// The first node of a restored directory, on a prefix of its own.
        case promotion
        /// `t4 gc`, beside a node under load.
        case collection
        /// `t4 restore checkpoint`, beside a node under load.
        case restore
        /// `t4 branch fork`, beside a node under load.
        case fork
        /// `t4 branch unfork`, beside a node under load.
        case unfork
    }

    let name: String
    let victim: Victim
    /// Regular expression of the request; see `scripts/serve-moto`.
    let request: String
    /// A request that comes before, up to which t4 runs first. It is the one that is counted.
    var previous: String?
    /// There are that many in one run of the victim.
    var numberMax = 3
    /// What can become of the request. One that only reads is nothing once nobody waits for the answer; and nodes that are
    /// started again collect nothing.
    var endings: [KillCase.Ending] {
        if request.hasPrefix("^GET") { return [.dropped] }
        return KillCase.Ending.allCases.filter { $0 != .landsBetween || victim != .collectingNode }
    }

    init(_ name: String, _ victim: Victim, _ request: String, behind previous: String? = nil, numberMax: Int = 3) {
        (self.name, self.victim, self.request) = (name, victim, request)
        (self.previous, self.numberMax) = (previous, numberMax)
    }

    private static let root = "/\(S3Service.bucket)/"
    private static func put(_ name: String, _ condition: String = "") -> String { "^PUT \(root)\(name)\(condition)" }
    private static func get(_ name: String) -> String { "^GET \(root)\(name)" }
    private static func delete(_ name: String) -> String { "^(DELETE|POST) .*\(name)" }
    /// Queries are signed, and stand in the order of their names.
    private static func list(_ prefix: String) -> String {
        "^GET /\(S3Service.bucket)/?\\?.*list-type=2.*prefix=\(prefix)"
    }

    /// The request that each checkpoint ends with.
    static let newHead = put("t4/manifest/latest")

    private static let create = ".* if-none-match"
    private static let swap = ".* if-match"

    static let all: [KillPoint] = [
        KillPoint("upload", .node, put("t4/wal/", create)),
        KillPoint("joined log", .node, put("t4/wal/", swap)),
        KillPoint("joined log, deletion", .node, delete("t4/wal/")),
        KillPoint("table", .node, put("t4/sst/")),
        KillPoint("manifest", .node, put("t4/checkpoint/", create)),
        KillPoint("head", .node, put("t4/manifest/latest", swap)),
        KillPoint("rebase, reading", .node, get("t4/sst/")),
        KillPoint("rebase, writing", .node, put("t4/sst/"), behind: get("t4/sst/")),
        KillPoint("rebase, manifest", .node, put("t4/checkpoint/"), behind: get("t4/sst/")),

        KillPoint("own collection, state", .collectingNode, put("t4/gc/state")),
        KillPoint("own collection, list", .collectingNode, put("t4/gc/condemned/"), numberMax: 1),
        KillPoint("own collection, deletion", .collectingNode, delete("t4/(checkpoint|sst|wal|gc)/")),

        KillPoint("first start, probe", .firstStart, put("t4/probe/")),
        KillPoint("first start, database", .firstStart, put("t4/database", create), numberMax: 1),
        KillPoint("first start, log", .firstStart, put("t4/wal/", create), numberMax: 1),
        KillPoint("first start, manifest", .firstStart, put("t4/checkpoint/", create), numberMax: 1),
        KillPoint("first start, head", .firstStart, put("t4/manifest/latest", create), numberMax: 1),

        KillPoint("refill, database", .refill, get("t4/database"), numberMax: 1),
        KillPoint("refill, head", .refill, get("t4/manifest/latest"), numberMax: 1),
        KillPoint("refill, manifest", .refill, get("t4/checkpoint/"), numberMax: 1),
        KillPoint("refill, table", .refill, get("t4/sst/"), numberMax: 1),
        KillPoint("refill, log", .refill, get("t4/wal/")),
        KillPoint("refill, fence", .refill, put("t4/wal/", create), numberMax: 1),

        KillPoint("branch, database", .branchStart, put("branch/database", create), numberMax: 1),
        KillPoint("branch, parent's manifest", .branchStart, get("t4/checkpoint/"), numberMax: 1),
        KillPoint("branch, parent's table", .branchStart, get("t4/sst/"), numberMax: 1),
        KillPoint("branch, parent's log", .branchStart, get("t4/wal/")),
        KillPoint("branch, table", .branchStart, put("branch/sst/"), numberMax: 1),
        KillPoint("branch, manifest", .branchStart, put("branch/checkpoint/", create), numberMax: 1),
        KillPoint("branch, head", .branchStart, put("branch/manifest/latest", create), numberMax: 1),
        KillPoint("branch, log", .branchStart, put("branch/wal/", create), numberMax: 1),

        KillPoint("promotion, database", .promotion, put("new/database", create), numberMax: 1),
        KillPoint("promotion, table", .promotion, put("new/sst/"), numberMax: 1),
        KillPoint("promotion, manifest", .promotion, put("new/checkpoint/", create), numberMax: 1),
        KillPoint("promotion, head", .promotion, put("new/manifest/latest", create), numberMax: 1),
        KillPoint("promotion, log", .promotion, put("new/wal/", create), numberMax: 1),

        KillPoint("collection, state", .collection, put("t4/gc/state")),
        KillPoint("collection, manifest", .collection, get("t4/checkpoint/")),
        KillPoint("collection, listing", .collection, list("t4/")),
        KillPoint("collection, list", .collection, put("t4/gc/condemned/"), numberMax: 1),
        KillPoint("collection, manifests' deletion", .collection, delete("t4/checkpoint/"), numberMax: 1),
        KillPoint("collection, tables' deletion", .collection, delete("t4/sst/"), numberMax: 1),
        KillPoint("collection, log's deletion", .collection, delete("t4/wal/"), numberMax: 1),
        KillPoint("collection, list's deletion", .collection, delete("t4/gc/condemned/"), numberMax: 1),

        KillPoint("restore, listing", .restore, list("t4/"), numberMax: 1),
        KillPoint("restore, manifest", .restore, get("t4/checkpoint/"), numberMax: 1),
        KillPoint("restore, table", .restore, get("t4/sst/"), numberMax: 1),
        KillPoint("restore, log", .restore, get("t4/wal/")),

        KillPoint("fork, head", .fork, get("t4/manifest/latest"), numberMax: 1),
        KillPoint("fork, pin", .fork, put("t4/branches/", create), numberMax: 1),
        KillPoint("fork, check", .fork, get("t4/gc/state"), numberMax: 1),
        KillPoint("unfork", .unfork, delete("t4/branches/"), numberMax: 1),
    ]
}

/// One way to kill t4 at a kill point.
struct KillCase: Sendable, CustomTestStringConvertible {
    /// What becomes of the request after the death of its sender.
    enum Ending: String, CaseIterable, Sendable {
        /// It is never carried out.
        case dropped
        /// It is carried out before the next process begins.
        case landsAtOnce
        /// It is carried out just before the next process sends such a request: that has read what there is by then.
        case landsBetween
        /// It is carried out once the next process has written.
        case landsLate
        /// It was carried out before, but its sender had no answer.
        case carriedOut
    }

    let point: KillPoint
    let ending: Ending
    let number: Int
    /// Whether the data directory goes as well.
    let losesDisk: Bool

    var testDescription: String {
        "\(point.name) \(number), \(ending.rawValue), disk \(losesDisk ? "lost" : "kept")"
    }

    /// Every kind of request in every way.
    static let all = KillPoint.all.flatMap { point in
        point.endings.enumerated().flatMap { place, ending in
            (1...point.numberMax).flatMap { number in
                disks(point, number + place).map {
                    KillCase(point: point, ending: ending, number: number, losesDisk: $0)
                }
            }
        }
    }

    /// Whether the directory is lost: by turns, and both where there is but one number.
    private static func disks(_ point: KillPoint, _ turn: Int) -> [Bool] {
        // At first nothing but a restored directory has its state.
        if point.victim == .promotion { return [false] }
        return point.numberMax == 1 ? [true, false] : [turn % 2 == 0]
    }

    /// All of them, or those whose name has what T4_TEST_KILL says in it.
    static let chosen = all.filter { TestEnvironment.killFilter.map($0.testDescription.contains) ?? true }

    /// A few of each kind of victim, with every ending.
    static let short = [
        named("upload", .landsLate, 2, losesDisk: true),
        named("joined log", .landsLate, 1, losesDisk: true),
        named("manifest", .landsAtOnce, 1, losesDisk: false),
        named("head", .landsBetween, 1, losesDisk: true),
        named("rebase, writing", .dropped, 1, losesDisk: true),
        named("own collection, deletion", .landsLate, 1, losesDisk: true),
        named("first start, database", .landsLate, 1, losesDisk: true),
        named("refill, log", .dropped, 2, losesDisk: false),
        named("branch, head", .landsBetween, 1, losesDisk: true),
        named("collection, state", .landsLate, 3, losesDisk: true),
        named("restore, table", .dropped, 1, losesDisk: false),
        named("fork, pin", .carriedOut, 1, losesDisk: true),
        named("unfork", .dropped, 1, losesDisk: false),
    ]

    private static func named(_ name: String, _ ending: Ending, _ number: Int, losesDisk: Bool) -> KillCase {
        guard let point = KillPoint.all.first(where: { $0.name == name }) else { preconditionFailure("no \(name)") }
        return KillCase(point: point, ending: ending, number: number, losesDisk: losesDisk)
    }
}
