// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "EmbeddedNode",
    dependencies: [
        .package(name: "t4", path: "../.."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .executableTarget(
            name: "EmbeddedNode",
            dependencies: [
                .product(name: "T4Core", package: "t4"), .product(name: "T4BuiltIns", package: "t4"),
                .product(name: "Logging", package: "swift-log"),
            ])
    ]
)
