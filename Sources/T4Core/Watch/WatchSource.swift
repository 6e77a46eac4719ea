/// Where the watch hub reads changes that are no longer in its ring.
package protocol WatchSource: AnyObject, Sendable {
    /// The newest published revision.
    var revision: Revision { get }

    /// The revision at and above which history is complete.
    var compactedRevision: Revision { get }

    /// Committed changes from `first` on, in order, whole revisions only, at least one revision if there is any.
    ///
    /// `includePrevious` loads the version before of each change (nil where it has been compacted or did not exist).
    /// - Parameters:
    ///   - last: Newest revision to read.
    ///   - byteLimit: Stops after the revision in which keys and values read pass this many bytes.
    /// - Throws: `.compacted` when `first` is below `compactedRevision`, also when it becomes so while reading.
    func changes(
        from first: Revision, through last: Revision, includePrevious: Bool, byteLimit: Int
    ) throws(DatabaseError) -> [RevisionEvents]
}
