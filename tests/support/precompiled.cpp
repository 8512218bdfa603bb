// Built with the precompiled headers that every test program shares.
