"""How checks arrive and answers leave: two servers behind one small interface."""
