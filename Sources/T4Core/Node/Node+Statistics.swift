// What a node tells whoever watches it from outside, beside `statistics`.
extension Node {
    /// What is counted of the work with the object store; nil where there is none.
    package var storeStatistics: StoreStatistics? { side.storeStatistics }

    /// What is counted of the part in a cluster; nil for a node that is alone.
    package var clusterStatistics: ClusterStatistics? { side.clusterStatistics }

    /// How it stands in its cluster; nil for a node that is alone.
    package var clusterStatus: ClusterStatus? { side.clusterStatus }

    /// Views of the engine that are held for long.
    package var longReads: LongReads { core.longReads }

    /// Whether somebody keeps writes out of the queue, and for how many nanoseconds that was so in all.
    package func pauses(by pauser: ProposalQueue.Pauser) -> (isPaused: Bool, nanoseconds: Int64) {
        queue.pauses(by: pauser)
    }
}
