"""STEP 1. The doors: what identity providers, the authorization server and applications may say to us.

A door reads a message and has it verified; it decides nothing. What a verified message asks for goes to `service.accept`.
"""
