package import T4Protocols

/// What a replica learns from outside.
package enum ReplicaEvent: Hashable, Sendable {
    /// Time passed, see `Replica.nextDeadline`.
    case tick
    /// Another node says something. The sender of a `hello` can be reached at the address it names.
    case message(ReplicaMessage)
    /// A stream to this instance is lost.
    case disconnected(String)
    /// Everything up to this entry is durable here.
    /// - Parameter cuts: `Replica.cuts` when the fsync began: what was cut off later does not count.
    case fsynced(through: UInt64, cuts: UInt64)
    /// So many entries of this leader's are to be appended: done once `ReplicaAction.append` comes back, else nothing happens.
    case propose(UInt64)
    /// The log could not be written: nobody knows what of it is on disk. The node has to read it again and begin anew.
    case logFailed
    /// A linearizable read has arrived, known by this number.
    case read(UInt64)
    /// The election's answer to `ReplicaAction.swap`.
    case swapped(nonce: UInt64, SwapOutcome)
    /// The election's answer to `ReplicaAction.readRecord`; nil where nobody has ever led.
    case record(LeaderRecord?)
    /// The record could not be read.
    case recordUnavailable
    /// The answer to `ReplicaAction.readChain` of that attempt.
    case chain(ChainView, attempt: UInt64)
    /// What became of `ReplicaAction.fence` of that attempt.
    case fenced(FenceOutcome, attempt: UInt64)
    /// The answer to `ReplicaAction.readHead` of that attempt: everything up to here is covered by a checkpoint.
    case head(covered: UInt64, attempt: UInt64)
    /// What this node wrote as leader of that term is in the chain up to here.
    case stored(through: UInt64, term: UInt64)
    /// An object of this term is where this leader wanted to put one.
    case deposed(by: UInt64)
    /// The log on this node begins behind this entry now.
    case forgotten(through: UInt64)
    /// Clients reach this node there.
    case clientURLs([String])
    /// This leader is to hand over to that member, and to follow it. No effect where it does not lead, or the other one is not in
    /// sync.
    case handOver(to: String)
    /// The node is to end in good order.
    case stop

    /// What became of a swap of the record.
    package enum SwapOutcome: Hashable, Sendable {
        /// The record is ours.
        case won
        /// It is that of somebody else.
        case refused(LeaderRecord?)
        /// It did not happen, and will not.
        case failed
        /// It may have happened, or happen yet.
        case unknown
    }

    /// What became of the put of a fence.
    package enum FenceOutcome: Hashable, Sendable {
        /// The object is in the store, with everything up to here.
        case stored(through: UInt64)
        /// The chain has an object of that name.
        case taken
        /// The name belongs to a leader of this higher term.
        case deposed(by: UInt64)
    }
}

/// What a replica wants done. Actions of one step are to be carried out in their order; those that concern the log before
/// anything is sent.
package enum ReplicaAction: Hashable, Sendable {
    /// Send this; it may be dropped. A message of many bytes may be sent as several, each with the position before it.
    case send(to: String, ReplicaMessage)
    /// Send this to whoever is at an address.
    case greet(address: String, ReplicaMessage)
    /// Cut the log behind this entry, and fsync that before anything is appended.
    case truncate(after: UInt64)
    /// Append these entries of the message just received, and fsync.
    case store(from: UInt64, through: UInt64)
    /// Append an entry that begins the term, and fsync.
    case appendTerm(LogPosition)
    /// Append what was proposed, from here on, and fsync.
    case append(from: LogPosition)
    /// Take the log of the chain from the entry behind this one on, and fsync.
    case adopt(after: UInt64, through: UInt64)
    /// The log does not reach the chain's beginning: discard it and the engine, and restore from the checkpoint that ends here.
    case restore(LogPosition)
    /// Apply up to here: all that is committed and durable here.
    case commit(UInt64)
    /// Ask the election to replace a record.
    case swap(LeaderRecord, replacing: LeaderRecord?)
    /// Ask the election for the record.
    case readRecord
    /// Read the chain, again and again until that works.
    case readChain(attempt: UInt64)
    /// Put the first object of this term behind `previous`: at most 1 MiB of the own log behind it up to `through`, or the entry
    /// that begins the term where `through` is no entry of the log.
    case fence(previous: LogPosition, through: UInt64, attempt: UInt64)
    /// Read which entries a checkpoint covers, again and again until that works.
    case readHead(attempt: UInt64)
    /// Upload from this entry on, under this term.
    case upload(from: UInt64, term: UInt64)
    /// Upload everything up to here soon.
    case flush(through: UInt64)
    /// Answer a linearizable read: from a state that has everything up to `index` applied.
    case answerRead(UInt64, index: UInt64)
    /// A linearizable read found no leader here, or it leads no more: ask who does.
    case refuseRead(UInt64)
    /// This node leads and may take writes.
    case lead(term: UInt64)
    /// It leads no more: what was proposed and is not committed has an unknown outcome.
    case stepDown
    /// What is applied here is not what was committed: set the directory aside. The replica is at its end.
    case conflict(at: UInt64)
    /// The node may end.
    case stopped
}
