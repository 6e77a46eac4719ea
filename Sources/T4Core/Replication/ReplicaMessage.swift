package import T4Protocols

/// What nodes say to each other (docs/decisions/0009-cluster-protocol.md). Any message may be lost, repeated, late or out of order.
package struct ReplicaMessage: Hashable, Sendable {
    /// The instance that speaks.
    package var sender: String
    /// The highest term the sender has heard of. Where that is lower than the receiver's only `hello` and `goodbye` count.
    package var term: UInt64
    /// What it says.
    package var body: Body

    /// The kinds of messages.
    package enum Body: Hashable, Sendable {
        /// From a follower that has not heard from its leader.
        case hello(Hello)
        /// From a leader: entries, or none; also the heartbeat.
        case append(Append)
        /// From a follower, to `append`.
        case answer(AppendAnswer)
        /// From a leader: its log does not reach back far enough, so the chain has to be read.
        case readChain
        /// From a leader that ends in good order: a member that has its whole log may campaign at once.
        case release(Release)
        /// From a follower that ends in good order.
        case goodbye
    }

    /// A follower makes itself known.
    package struct Hello: Hashable, Sendable {
        /// Its configured name.
        package var nodeID: String
        /// Where other nodes reach it.
        package var address: String
        /// The end of its log.
        package var last: LogPosition
        /// Where clients reach it.
        package var clientURLs: [String] = []
        /// Never leads, and is never in sync.
        package var isReadOnly = false
    }

    /// A leader hands over.
    package struct Release: Hashable, Sendable {
        /// The record as it stands.
        package var record: LeaderRecord
        /// The instance that is to lead, and where it is; the others are to turn to it.
        package var heir: String
        package var address: String
        /// The leader takes no part any more.
        package var isLeaving = true
    }

    /// Entries for a follower.
    package struct Append: Hashable, Sendable {
        /// The entry before the first.
        package var previous: LogPosition
        /// The entries' terms.
        package var entries: [TermRun]
        /// What is committed.
        package var committed: UInt64
        /// When it was sent, by the leader's clock; nil: it only tells what is committed, and is answered where it is refused.
        package var sentAt: Duration?
        /// The leader cannot do its work, and whoever finds out more may act.
        package var isStuck = false

        /// How many entries.
        package var count: UInt64 { entries.reduce(0) { $0 + $1.count } }
        /// The last entry's index, that of `previous` where there are none.
        package var through: UInt64 { previous.index + count }
    }

    /// How far a follower is.
    package struct AppendAnswer: Hashable, Sendable {
        /// Up to here its log is that of the leader and fsynced.
        package var durable: UInt64
        /// When the newest message was sent on which the follower promised not to campaign; nil: no promise.
        package var promised: Duration?
        /// The entry before those sent was not there, and the leader has to go on behind this one at most.
        package var refused: UInt64?

        /// Fills in an answer.
        package init(durable: UInt64, promised: Duration? = nil, refused: UInt64? = nil) {
            self.durable = durable
            self.promised = promised
            self.refused = refused
        }
    }
}
