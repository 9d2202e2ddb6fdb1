"""What a command line is answered before anything heavy is imported: the zoo, or what is wrong with it."""
