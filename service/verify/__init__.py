"""STEP 2, is it true: who says so, with which key, to whom, when. Nothing here changes anything."""
