/// Where the commit thread writes entries: the log on disk, or a double of it in tests.
package protocol EntryLog: AnyObject {
    /// Writes a batch of entries behind the last one and makes them survive power loss.
    ///
    /// After an error the outcome is unknown and the log must not be used again.
    func appendAndSync(_ entries: [LogEntry]) throws(LogError)
    /// Looks how much space the disk has. Comes before each group.
    func measureRoom() throws(LogError)
    /// Whether entries of that size in all, on top of what was there at the last measurement, surely fit on the disk and
    /// leave enough of it for the engine to apply them.
    /// - Parameter usingSpare: Counts what is set aside for requests that free space.
    func hasRoom(forBytes size: Int, usingSpare: Bool) -> Bool
    /// Ends a segment whose first entry is older than `age` at `now`, nanoseconds since 1970.
    func sealIfOlder(than age: Duration, now: UInt64) throws(LogError) -> LogSegment?
    /// Releases the files.
    func close()
}

extension LogWriter: EntryLog {}
