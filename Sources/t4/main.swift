print("t4")
